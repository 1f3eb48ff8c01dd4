/* libsignal's stores, filled from what a request has loaded: its callbacks never wait. */
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "common/pb.h"
#include "keyd/counter.h"
#include "keyd/provider.h"
#include "keyd/session_trim.h"
#include "keyd/signal_store.h"

/* Our own errors: below all of libsignal's. */
#define BROKEN   (-10001)
#define TOO_LONG (-10002)

signal_protocol_store_context *signal_store;
struct signal_now signal_now;

/* The text of an address ends with NUL: it is that of a request. */
static Keyd__Address
address_of(const signal_protocol_address *a)
{
	Keyd__Address out = KEYD__ADDRESS__INIT;

	out.name = pb_str(a->name);
	out.device = (uint32_t)a->device_id;
	return out;
}

static const char *
address_name(const signal_protocol_address *a)
{
	const Keyd__Address at = address_of(a);

	return work_at(signal_now.work, &at);
}

/* A copy of a record for the library, which frees it: 1 there, 0 absent, -1 unreadable. */
static int
get(int domain, const char *name, signal_buffer **out)
{
	struct buf b = BUF_INIT;
	int there = work_get(signal_now.work, domain, name, &b);

	*out = NULL;
	if (there == 1 && (*out = signal_buffer_create(b.data, b.len)) == NULL)
		there = -1;
	buf_clear(&b);
	return there;
}

/* ---------------------------------------------------------------- sessions */

static int
load_session(signal_buffer **record, signal_buffer **user_record,
    const signal_protocol_address *address, void *user)
{

	/* A session that does not open counts as none: an error would shut out that peer for ever,
	 * while his next prekey message mends it (store contract 0). */
	return get(STORED__DOMAIN__SESSION, address_name(address), record) == 1;
}

static int
contains_session(const signal_protocol_address *address, void *user)
{
	signal_buffer *record = NULL;
	int there = load_session(&record, NULL, address, user);

	signal_buffer_bzero_free(record);
	return there;
}

static int
store_session(const signal_protocol_address *address, uint8_t *record, size_t len,
    uint8_t *user_record, size_t user_len, void *user)
{
	const char *name = address_name(address);
	struct buf b = BUF_INIT;
	int ok = 0;

	if (len <= SESSION_RECORD_MAX) {
		work_put(signal_now.work, STORED__DOMAIN__SESSION, name, record, len);
	} else if (session_trim(record, len, SESSION_RECORD_MAX, &b) == 0) {
		work_put(signal_now.work, STORED__DOMAIN__SESSION, name, b.data, b.len);
	} else {
		log_warnx("a session record has %zu bytes and cannot be made shorter", len);
		ok = TOO_LONG;
	}
	buf_clear(&b);
	sodium_memzero(record, len); /* the library frees it as it is */
	return ok;
}

/* ---------------------------------------------------------------- prekeys */

static int
load_key(int domain, signal_buffer **record, uint32_t id)
{
	int there = get(domain, work_name(signal_now.work, "%u", id), record);

	signal_now.broken |= there == -1;
	return there == 1 ? 0 : there == 0 ? SG_ERR_INVALID_KEY_ID : BROKEN;
}

static int
load_pre_key(signal_buffer **record, uint32_t id, void *user)
{
	return load_key(STORED__DOMAIN__PREKEY, record, id);
}

static int
remove_pre_key(uint32_t id, void *user)
{

	work_delete(signal_now.work, STORED__DOMAIN__PREKEY, work_name(signal_now.work, "%u", id));
	counters[COUNT_PREKEYS_USED]++;
	return 0;
}

static int
load_signed_pre_key(signal_buffer **record, uint32_t id, void *user)
{
	return load_key(STORED__DOMAIN__SIGNED_PREKEY, record, id);
}

/* ---------------------------------------------------------------- identities */

static int
own_identity(signal_buffer **pub, signal_buffer **priv, void *user)
{
	uint8_t typed[33] = {5};

	memcpy(typed + 1, signal_now.device->identity_pub, 32);
	*pub = signal_buffer_create(typed, sizeof(typed));
	*priv = signal_buffer_create(signal_now.device->identity_priv, 32);
	return *pub == NULL || *priv == NULL ? SG_ERR_NOMEM : 0;
}

static int
own_registration_id(void *user, uint32_t *id)
{
	*id = signal_now.device->registration_id;
	return 0;
}

static int
save_identity(const signal_protocol_address *address, uint8_t *key, size_t len, void *user)
{
	const Keyd__Address at = address_of(address);

	if (key == NULL || len != 33)
		return SG_ERR_INVAL;
	if (trust_seen(signal_now.work, &at, key + 1, &signal_now.change) == 0)
		return 0;
	signal_now.broken = 1;
	return BROKEN;
}

/* The library calls this before it has checked the message (page 04, 13.1): trust.c judges when the
 * whole item has succeeded. */
static int
is_trusted(const signal_protocol_address *address, uint8_t *key, size_t len, void *user)
{
	return 1;
}

/* ---------------------------------------------------------------- the context */

/* What is left out is what the library does only on behalf of callers that keyd does not have. */
void
signal_store_warm_up(void)
{
	static const signal_protocol_session_store sessions = {.load_session_func = load_session,
	    .store_session_func = store_session,
	    .contains_session_func = contains_session};
	static const signal_protocol_pre_key_store pre_keys = {
	    .load_pre_key = load_pre_key, .remove_pre_key = remove_pre_key};
	static const signal_protocol_signed_pre_key_store signed_pre_keys = {
	    .load_signed_pre_key = load_signed_pre_key};
	static const signal_protocol_identity_key_store identities = {
	    .get_identity_key_pair = own_identity,
	    .get_local_registration_id = own_registration_id,
	    .save_identity = save_identity,
	    .is_trusted_identity = is_trusted};

	if (signal_protocol_store_context_create(&signal_store, provider_context) != 0 ||
	    signal_protocol_store_context_set_session_store(signal_store, &sessions) != 0 ||
	    signal_protocol_store_context_set_pre_key_store(signal_store, &pre_keys) != 0 ||
	    signal_protocol_store_context_set_signed_pre_key_store(
		signal_store, &signed_pre_keys) != 0 ||
	    signal_protocol_store_context_set_identity_key_store(signal_store, &identities) != 0)
		fatalx("libsignal: no store context");
}

void
signal_store_begin(struct work *w, const struct device *d)
{
	signal_now = (struct signal_now){.work = w, .device = d};
}

void
signal_store_item(void)
{
	memset(&signal_now.change, 0, sizeof(signal_now.change));
	provider_mac_failed = 0;
	provider_hmacs = 0;
}
