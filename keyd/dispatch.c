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

static const struct verb *
find_verb(uint32_t type)
{
	size_t i = 0;

	while (dispatch_verbs[i].row.type != type)
		i++; /* each row below has one */
	return &dispatch_verbs[i];
}

void
dispatch_add(struct keyd *k, struct message *m)
{
	queue_add(k, find_verb(m->type), m);
}

static int
on_verb(struct message *m, void *owner)
{
	dispatch_add(keyd_of(owner), m);
	return 0;
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

/* Sizes are of the packed message: "account" takes 3 to 34 bytes, a 64-bit number 2 to 11, a 32-bit
 * one 2 to 6. Where a field has a bound of its own the row is wider: that is a "bad_request", no
 * incident. */
#define KIB 1024u
#define ROW(type, desc, min, max, flags, run)                                                      \
	{                                                                                          \
		KEYD__TYPE__##type, #type, min, max, CHANNEL_ALL_STATES, flags,                    \
		    &keyd__##desc##__descriptor, run                                               \
	}
#define ASKS(type, desc, min, max)  .row = ROW(type, desc, min, max, ROW_REQUEST, on_verb)
#define TELLS(type, desc, min, max) .row = ROW(type, desc, min, max, 0, on_verb)
#define ANSWER(type, desc)          .answer_type = KEYD__TYPE__##type, .answer = &keyd__##desc##__descriptor
#define STAGED                      ANSWER(STAGED, staged)

const struct verb dispatch_verbs[] = {
    {PEER_NETD, ASKS(NOISE_HELLO, noise_hello, 5, 45 + 16 * KIB + 4), VERB_ANY,
	ANSWER(NOISE_HELLO_REPLY, noise_hello_reply), .load = noise_load_chain, .run = noise_hello,
	.count = &counters[COUNT_NOISE_HELLO]},
    {PEER_NETD, ASKS(NOISE_FINISH, noise_finish, 9, 45 + 64 * KIB + 4 + 16 * KIB + 4), VERB_DEVICE,
	ANSWER(NOISE_FINISH_REPLY, noise_finish_reply), .run = noise_finish_verb,
	.count = &counters[COUNT_NOISE_FINISH]},
    {PEER_NETD, TELLS(NOISE_DROP, noise_drop, 5, 45), VERB_NO_RECORD, .run = noise_drop},
    {PEER_APID, ASKS(ACCOUNT_OPEN, account_open, 3, 34), VERB_ANY,
	ANSWER(DEVICE_STATE, device_state), .run = identity_account_open},
    {PEER_APID, ASKS(DEVICE_CREATE, device_create, 5, 45), VERB_ANY,
	ANSWER(DEVICE_STATE, device_state), .load = identity_load_device_create,
	.run = identity_device_create, .count = &counters[COUNT_DEVICE_CREATE]},
    {PEER_APID, ASKS(NOISE_KEEP, noise_keep, 7, 56), VERB_DEVICE, STAGED, .load = noise_load_chain,
	.run = noise_keep},
    {PEER_APID, ASKS(PAIR_QR, pair_qr, 7, 1 * KIB), VERB_UNLINKED,
	ANSWER(PAIR_QR_REPLY, pair_qr_reply), .run = identity_pair_qr,
	.count = &counters[COUNT_PAIR_QR]},
    {PEER_APID, ASKS(PAIR_REFRESH, pair_refresh, 5, 45), VERB_UNLINKED, STAGED,
	.run = identity_pair_refresh, .count = &counters[COUNT_PAIR_REFRESH]},
    {PEER_APID, ASKS(PAIR_CODE, pair_code, 3, 128), VERB_UNLINKED,
	ANSWER(PAIR_CODE_REPLY, pair_code_reply), .run = identity_pair_code,
	.count = &counters[COUNT_PAIR_CODE]},
    {PEER_APID, ASKS(PAIR_CODE_FINISH, pair_code_finish, 9, 1 * KIB), VERB_UNLINKED,
	ANSWER(PAIR_CODE_FINISH_REPLY, pair_code_finish_reply), .run = identity_pair_code_finish,
	.count = &counters[COUNT_PAIR_CODE_FINISH]},
    {PEER_APID, ASKS(PAIR_SUCCESS, pair_success, 9, 8 * KIB), VERB_UNLINKED,
	ANSWER(PAIR_SUCCESS_REPLY, pair_success_reply), .check = identity_check_pair_success,
	.load = identity_load_pair_success, .run = identity_pair_success},
    {PEER_APID, ASKS(PASSKEY_BEGIN, passkey_begin, 9, 1 * KIB), VERB_UNLINKED,
	ANSWER(PASSKEY_BEGIN_REPLY, passkey_begin_reply), .run = passkey_begin,
	.count = &counters[COUNT_PASSKEY_BEGUN]},
    {PEER_APID, ASKS(PASSKEY_CONTINUE, passkey_continue, 7, 256), VERB_UNLINKED,
	ANSWER(PASSKEY_CONTINUE_REPLY, passkey_continue_reply), .run = passkey_continue},
    {PEER_APID, ASKS(PASSKEY_SEAL, passkey_seal, 5, 45), VERB_UNLINKED,
	ANSWER(PASSKEY_SEAL_REPLY, passkey_seal_reply), .run = passkey_seal,
	.count = &counters[COUNT_PASSKEY_SEALED]},
    {PEER_APID, ASKS(PREKEYS_MAKE, prekeys_make, 7, 53), VERB_DEVICE,
	ANSWER(PREKEYS_REPLY, prekeys_reply), .check = prekeys_check_make,
	.load = prekeys_load_make, .run = prekeys_make},
    {PEER_APID, ASKS(PREKEYS_UPLOADED, prekeys_uploaded, 5, 8 * KIB), VERB_DEVICE, STAGED,
	.load = prekeys_load_uploaded, .run = prekeys_uploaded},
    {PEER_APID, ASKS(PREKEYS_PUBLIC, prekeys_public, 3, 8 * KIB), VERB_DEVICE,
	ANSWER(PREKEYS_REPLY, prekeys_reply), .load = prekeys_load_public, .run = prekeys_public},
    {PEER_APID, ASKS(SKEY_NEXT, skey_next, 5, 45), VERB_DEVICE, ANSWER(SKEY_REPLY, skey_reply),
	.load = skey_load_rotate, .run = skey_begin},
    {PEER_APID, ASKS(SKEY_END, skey_end, 9, 53), VERB_DEVICE, STAGED, .load = skey_load_rotate,
	.run = skey_end},
    {PEER_APID, ASKS(RESTORED, restored, 5, 45), VERB_DEVICE, STAGED, .load = prekeys_load_restored,
	.run = prekeys_restored},
    {PEER_APID, ASKS(SESSIONS, sessions, 3, 256 * KIB), VERB_DEVICE,
	ANSWER(SESSIONS_REPLY, sessions_reply), .addresses = VERB_SESSION, .run = session_sessions},
    {PEER_APID, ASKS(LID_MOVE, lid_move, 5, 128 * KIB), VERB_DEVICE,
	ANSWER(LID_MOVE_REPLY, lid_move_reply), .addresses = VERB_SESSION | VERB_IDENTITY,
	.check = lid_move_check, .run = lid_move},
    {PEER_APID, ASKS(ENCRYPT, encrypt, 5, FRAME_PAYLOAD_MAX), VERB_DEVICE,
	ANSWER(ENCRYPT_REPLY, encrypt_reply),
	.addresses = VERB_SESSION | VERB_IDENTITY | VERB_PRIMARY, .check = session_check_encrypt,
	.run = session_encrypt},
    {PEER_APID, ASKS(DECRYPT, decrypt, 5, FRAME_PAYLOAD_MAX), VERB_DEVICE,
	ANSWER(DECRYPT_REPLY, decrypt_reply),
	.addresses = VERB_SESSION | VERB_IDENTITY | VERB_PRIMARY, .run = session_decrypt},
    {PEER_APID, ASKS(SECRETS_KEEP, secrets_keep, 5, 16 * KIB), VERB_DEVICE, STAGED,
	.run = msg_secret_keep},
    {PEER_APID, ASKS(ADDON_OPEN, addon_open, 9, 512 * KIB), VERB_DEVICE,
	ANSWER(ADDON_OPENED, addon_opened), .load = msg_secret_load_open, .run = msg_secret_open},
    {PEER_APID, ASKS(IDENTITIES, identities, 3, 256 * KIB), VERB_DEVICE,
	ANSWER(IDENTITIES_REPLY, identities_reply), .addresses = VERB_IDENTITY,
	.run = trust_identities},
    {PEER_APID, ASKS(IDENTITY_DECIDE, identity_decide, 5, 256 * KIB), VERB_DEVICE, STAGED,
	.addresses = VERB_SESSION | VERB_IDENTITY, .check = trust_check_decide,
	.run = trust_decide},
    {PEER_APID, ASKS(IDENTITY_FORGET, identity_forget, 5, 256 * KIB), VERB_DEVICE,
	ANSWER(IDENTITY_FORGET_REPLY, identity_forget_reply),
	.addresses = VERB_SESSION | VERB_IDENTITY, .run = trust_forget},
    {PEER_APID, .row = ROW(RESEAL, reseal, 5, 45, ROW_REQUEST, rekey_reseal), VERB_ANY,
	ANSWER(RESEAL_REPLY, reseal_reply), .load = rekey_load_reseal, .run = rekey_run_reseal},
    {PEER_APID, .row = ROW(REKEY_BEGIN, rekey_begin, 0, 0, ROW_REQUEST, rekey_begin)},
    {PEER_APID, .row = ROW(STATUS, status, 0, 0, ROW_REQUEST, on_status)},
};
const size_t dispatch_nverbs = sizeof(dispatch_verbs) / sizeof(dispatch_verbs[0]);

size_t
dispatch_rows(enum verb_peer who, struct channel_row rows[DISPATCH_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < dispatch_nverbs; i++)
		if (dispatch_verbs[i].who == who)
			rows[n++] = dispatch_verbs[i].row;
	return n;
}
