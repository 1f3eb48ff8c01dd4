/* Who may ask keyd what: one table a peer. */
#include "common/pb.h"
#include "ipc/frame.h"
#include "ipc/keyd.pb-c.h"
#include "keyd/counter.h"
#include "keyd/dispatch.h"
#include "keyd/rekey.h"
#include "keyd/verbs.h"
#include "sandbox/child.h"

static struct keyd *
keyd_of(void *owner)
{
	return ((struct child *)owner)->owner;
}

const struct verb *const dispatch_verbs[] = {&verb_noise_hello, &verb_noise_finish,
    &verb_noise_drop, &verb_noise_keep, &verb_account_open, &verb_device_create, &verb_pair_qr,
    &verb_pair_refresh, &verb_pair_code, &verb_pair_code_finish, &verb_pair_success,
    &verb_passkey_begin, &verb_passkey_continue, &verb_passkey_seal, &verb_prekeys_make,
    &verb_prekeys_uploaded, &verb_prekeys_public, &verb_skey_next, &verb_skey_end, &verb_restored,
    &verb_sessions, &verb_encrypt, &verb_decrypt, &verb_reseal, &verb_secrets_keep,
    &verb_addon_open, &verb_identities, &verb_identity_decide, &verb_identity_forget,
    &verb_lid_move};
const size_t dispatch_nverbs = sizeof(dispatch_verbs) / sizeof(dispatch_verbs[0]);

static int
on_verb(struct message *m, void *owner)
{
	size_t i;

	for (i = 0; i < dispatch_nverbs; i++) {
		if (dispatch_verbs[i]->type == m->type) {
			queue_add(keyd_of(owner), dispatch_verbs[i], m);
			return 0;
		}
	}
	return -1; /* a row below without a verb: cannot be */
}

/* Of the process, not of an account: answered at once, also when locked. */
static int
on_status(struct message *m, void *owner)
{
	struct keyd *k = keyd_of(owner);
	Keyd__StatusReply a = KEYD__STATUS_REPLY__INIT;
	Keyd__Counter values[COUNTERS], *list[COUNTERS];
	struct rekey_reply rekey;
	int i;

	for (i = 0; i < COUNTERS; i++) {
		keyd__counter__init(&values[i]);
		values[i].name = pb_str(counter_names[i]);
		values[i].value = counters[i];
		list[i] = &values[i];
	}
	a.unlocked = k->state == KEYD_UNLOCKED;
	if (k->state != KEYD_UNLOCKED)
		a.reason = pb_str(k->state == KEYD_LOCKED ? k->locked_reason : "starting");
	a.key_source = pb_str(k->key_source);
	a.fast_curve = k->fast_curve;
	a.counters = list;
	a.n_counters = COUNTERS;
	if (k->state == KEYD_UNLOCKED) {
		rekey_state(k, &rekey);
		a.rekey = &rekey.state;
	}
	return channel_reply(m->channel, m->id, KEYD__TYPE__STATUS_REPLY, &a.base);
}

static int
on_rekey_begin(struct message *m, void *owner)
{
	rekey_begin(keyd_of(owner), m);
	return 0;
}

static int
on_reseal(struct message *m, void *owner)
{
	rekey_reseal(keyd_of(owner), m);
	return 0;
}

/* Sizes are of the packed message: "account" takes 3 to 34 bytes, a 64-bit number 2 to 11, a 32-bit
 * one 2 to 6. Where a field has a bound of its own the row is wider: that is a "bad_request", no
 * incident. */
#define KIB 1024u
#define ROW(type, min, max, flags, desc)                                                           \
	{                                                                                          \
		KEYD__TYPE__##type, #type, min, max, CHANNEL_ALL_STATES, flags,                    \
		    &keyd__##desc##__descriptor, on_verb                                           \
	}

const struct channel_row dispatch_netd[] = {
    ROW(NOISE_HELLO, 5, 45 + 16 * KIB + 4, ROW_REQUEST, noise_hello),
    ROW(NOISE_FINISH, 9, 45 + 64 * KIB + 4 + 16 * KIB + 4, ROW_REQUEST, noise_finish),
    ROW(NOISE_DROP, 5, 45, 0, noise_drop),
};
const size_t dispatch_nnetd = sizeof(dispatch_netd) / sizeof(dispatch_netd[0]);

const struct channel_row dispatch_apid[] = {
    ROW(ACCOUNT_OPEN, 3, 34, ROW_REQUEST, account_open),
    ROW(DEVICE_CREATE, 5, 45, ROW_REQUEST, device_create),
    ROW(NOISE_KEEP, 7, 56, ROW_REQUEST, noise_keep),
    ROW(PAIR_QR, 7, 1 * KIB, ROW_REQUEST, pair_qr),
    ROW(PAIR_REFRESH, 5, 45, ROW_REQUEST, pair_refresh),
    ROW(PAIR_CODE, 3, 128, ROW_REQUEST, pair_code),
    ROW(PAIR_CODE_FINISH, 9, 1 * KIB, ROW_REQUEST, pair_code_finish),
    ROW(PAIR_SUCCESS, 9, 8 * KIB, ROW_REQUEST, pair_success),
    ROW(PASSKEY_BEGIN, 9, 1 * KIB, ROW_REQUEST, passkey_begin),
    ROW(PASSKEY_CONTINUE, 7, 256, ROW_REQUEST, passkey_continue),
    ROW(PASSKEY_SEAL, 5, 45, ROW_REQUEST, passkey_seal),
    ROW(PREKEYS_MAKE, 7, 53, ROW_REQUEST, prekeys_make),
    ROW(PREKEYS_UPLOADED, 5, 8 * KIB, ROW_REQUEST, prekeys_uploaded),
    ROW(PREKEYS_PUBLIC, 3, 8 * KIB, ROW_REQUEST, prekeys_public),
    ROW(SKEY_NEXT, 5, 45, ROW_REQUEST, skey_next),
    ROW(SKEY_END, 9, 53, ROW_REQUEST, skey_end),
    ROW(RESTORED, 5, 45, ROW_REQUEST, restored),
    ROW(SESSIONS, 3, 256 * KIB, ROW_REQUEST, sessions),
    ROW(LID_MOVE, 5, 128 * KIB, ROW_REQUEST, lid_move),
    ROW(ENCRYPT, 5, FRAME_PAYLOAD_MAX, ROW_REQUEST, encrypt),
    ROW(DECRYPT, 5, FRAME_PAYLOAD_MAX, ROW_REQUEST, decrypt),
    ROW(SECRETS_KEEP, 5, 16 * KIB, ROW_REQUEST, secrets_keep),
    ROW(ADDON_OPEN, 9, 512 * KIB, ROW_REQUEST, addon_open),
    ROW(IDENTITIES, 3, 256 * KIB, ROW_REQUEST, identities),
    ROW(IDENTITY_DECIDE, 5, 256 * KIB, ROW_REQUEST, identity_decide),
    ROW(IDENTITY_FORGET, 5, 256 * KIB, ROW_REQUEST, identity_forget),
    {KEYD__TYPE__RESEAL, "RESEAL", 5, 45, CHANNEL_ALL_STATES, ROW_REQUEST,
	&keyd__reseal__descriptor, on_reseal},
    {KEYD__TYPE__REKEY_BEGIN, "REKEY_BEGIN", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST,
	&keyd__rekey_begin__descriptor, on_rekey_begin},
    {KEYD__TYPE__STATUS, "STATUS", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST, &keyd__status__descriptor,
	on_status},
};
const size_t dispatch_napid = sizeof(dispatch_apid) / sizeof(dispatch_apid[0]);
