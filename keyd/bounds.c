/* The bounds of the fields of every request, in one table. */
#include <stdio.h>
#include <string.h>

#include "keyd/adv.h"
#include "keyd/bounds.h"
#include "keyd/crypto.h"
#include "keyd/noise.h"
#include "keyd/paircode.h"
#include "keyd/passkey.h"
#include "keyd/verbs.h"

#define ADDRESSES 1024
#define KIB       1024u

/* Of each value: its bytes, or, of a number, itself. Of a repeated field also how many there are.
 */
struct bound {
	const ProtobufCMessageDescriptor *message;
	const char *field;
	uint64_t min, max;
	size_t least, most;
	const char *except; /* only printable bytes, and none of these */
	const char *only;   /* none but these */
};

#define OF(type, name, from, to)                                                                   \
	.message = &keyd__##type##__descriptor, .field = name, .min = from, .max = to

static const struct bound bounds[] = {
    {OF(noise_hello, "payload", 1, NOISE_PAYLOAD_MAX)},
    {OF(noise_finish, "server_hello", 0, NOISE_HELLO_MAX)},
    {OF(noise_finish, "payload", 1, NOISE_PAYLOAD_MAX)},
    {OF(pair_qr, "ref", 1, 512), .except = ","},
    {OF(pair_qr, "client_type", 1, 1), .except = ","},
    {OF(pair_code, "code", PAIRCODE_LEN, PAIRCODE_LEN), .only = paircode_alphabet},
    {OF(pair_code_finish, "wrapped_primary", PAIRCODE_WRAPPED, PAIRCODE_WRAPPED)},
    {OF(pair_code_finish, "primary_identity", 32, 32)},
    {OF(passkey_begin, "ref", 1, PASSKEY_REF_MAX), .except = ""},
    {OF(passkey_begin, "device_type", 1, 255)},
    {OF(passkey_continue, "primary_pub", 32, 32)},
    {OF(passkey_continue, "primary_nonce", 32, 32)},
    {OF(pair_success, "container", 1, ADV_CONTAINER_MAX)},
    {OF(prekeys_make, "count", 1, PREKEYS_MAX)},
    {OF(prekeys_uploaded, "ids", 1, PREKEY_ID_MAX), .most = 1024},
    {OF(prekeys_public, "ids", 1, PREKEY_ID_MAX), .most = PREKEYS_MAX},
    /* '/' and ':' would make names of records ambiguous */
    {OF(address, "name", 1, 80), .except = "/:"},
    {OF(address, "device", 0, 65535)},
    {OF(sessions, "addresses", 0, 0), .most = ADDRESSES},
    {OF(bundle, "identity", 32, 32)},
    {OF(bundle, "device_identity", 0, ADV_CONTAINER_MAX)},
    {OF(signed_prekey, "pub", 32, 32)},
    {OF(signed_prekey, "signature", 64, 64)},
    {OF(prekey, "pub", 32, 32)},
    {OF(encrypt, "plaintexts", 0, SIZE_MAX), .most = 4},
    {OF(encrypt, "items", 0, 0), .most = ADDRESSES},
    {OF(encrypt, "secrets", 0, 0), .most = 16},
    {OF(decrypt, "items", 0, 0), .least = 1, .most = 16},
    {OF(decrypt_item, "device_identity", 0, ADV_CONTAINER_MAX)},
    {OF(lid_move, "moves", 0, 0), .most = 256},
    {OF(identities, "addresses", 0, 0), .most = ADDRESSES},
    {OF(identity_decide, "decisions", 0, 0), .least = 1, .most = ADDRESSES},
    {OF(identity_decision, "key", 0, 32)},
    {OF(identity_forget, "addresses", 0, 0), .most = ADDRESSES},
    {OF(secrets_keep, "secrets", 0, 0), .least = 1, .most = 16},
    {OF(secret, "name", 1, MSG_SECRET_NAME_MAX)},
    {OF(secret, "secret", 32, 32)},
    {OF(secret, "expires_s", 0, INT64_MAX)},
    {OF(secret, "message_s", 0, INT64_MAX)},
    {OF(addon_open, "names", 1, MSG_SECRET_NAME_MAX), .least = 1, .most = 8},
    {OF(addon_open, "id", 1, MSG_SECRET_ID_MAX)},
    {OF(addon_open, "authors", 1, MSG_SECRET_JID_MAX), .least = 1, .most = 4},
    {OF(addon_open, "senders", 1, MSG_SECRET_JID_MAX), .least = 1, .most = 4},
    {OF(addon_open, "iv", 12, 12)},
    {OF(addon_open, "payload", CRYPTO_TAG, 256 * KIB)},
};

/* How many values a field has, and where they are. */
static size_t
values(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const uint8_t **at)
{
	const uint8_t *base = (const uint8_t *)m;

	*at = base + f->offset;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		*at = *(const uint8_t *const *)(const void *)*at;
		return *(const size_t *)(const void *)(base + f->quantifier_offset);
	}
	if (f->label == PROTOBUF_C_LABEL_REQUIRED)
		return 1;
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const void *const *)(const void *)*at != NULL;
	return *(const protobuf_c_boolean *)(const void *)(base + f->quantifier_offset) != 0;
}

/* One value: what is bounded of it, its text if it has one, and the bytes that it takes in memory.
 */
static size_t
value(const ProtobufCFieldDescriptor *f, const uint8_t *at, uint64_t *n, const uint8_t **text)
{
	ProtobufCBinaryData bytes;
	uint32_t small;

	*text = NULL;
	*n = 0;
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		memcpy(text, at, sizeof(*text));
		*n = strlen((const char *)*text);
		return sizeof(*text);
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&bytes, at, sizeof(bytes));
		*text = bytes.data;
		*n = bytes.len;
		return sizeof(bytes);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
		memcpy(n, at, sizeof(*n)); /* a negative one is a large one here */
		return sizeof(*n);
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	default: /* uint32, bool, enum */
		memcpy(&small, at, sizeof(small));
		*n = small;
		return sizeof(small);
	}
}

static int
text_ok(const struct bound *b, const uint8_t *text, uint64_t len)
{
	if (text == NULL || (b->except == NULL && b->only == NULL))
		return 1; /* a number has no text, and is not counted up to */
	for (uint64_t i = 0; i < len; i++) {
		if (b->except != NULL &&
		    (text[i] <= ' ' || text[i] >= 0x7f || strchr(b->except, text[i]) != NULL))
			return 0;
		if (b->only != NULL && (text[i] == 0 || strchr(b->only, text[i]) == NULL))
			return 0;
	}
	return 1;
}

/* NULL: it has none. name NULL: of any field. */
static const struct bound *
bound_of(const ProtobufCMessageDescriptor *d, const char *name)
{
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		if (bounds[i].message == d && (name == NULL || strcmp(bounds[i].field, name) == 0))
			return &bounds[i];
	return NULL;
}

int
bounds_of(const ProtobufCMessageDescriptor *d)
{
	return bound_of(d, NULL) != NULL;
}

static int
field_ok(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const struct bound *b = bound_of(m->descriptor, f->name);
	const uint8_t *at, *text;
	size_t n = values(m, f, &at);
	uint64_t v;

	if (b != NULL && f->label == PROTOBUF_C_LABEL_REPEATED && (n < b->least || n > b->most))
		return 0;
	for (; n > 0; n--) {
		at += value(f, at, &v, &text);
		if (f->type == PROTOBUF_C_TYPE_ENUM &&
		    protobuf_c_enum_descriptor_get_value(f->descriptor, (int)v) == NULL)
			return 0;
		if (b != NULL && (v < b->min || v > b->max || !text_ok(b, text, v)))
			return 0;
	}
	return 1;
}

static const char *
fields_ok(const ProtobufCMessage *m, void *arg)
{
	static char why[128];
	const ProtobufCMessageDescriptor *d = m->descriptor;

	for (unsigned i = 0; i < d->n_fields; i++) {
		if (field_ok(m, &d->fields[i]))
			continue;
		(void)snprintf(why, sizeof(why), "%s of %s is out of its bounds", d->fields[i].name,
		    d->short_name);
		return why;
	}
	return NULL;
}

const char *
bounds_check(const ProtobufCMessage *m)
{
	return bounds_walk(m, fields_ok, NULL);
}

const char *
bounds_walk(const ProtobufCMessage *m, bounds_visit *fn, void *arg)
{
	const char *why = fn(m, arg);
	const uint8_t *at;

	for (unsigned i = 0; why == NULL && i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		size_t n = f->type == PROTOBUF_C_TYPE_MESSAGE ? values(m, f, &at) : 0;

		for (; why == NULL && n > 0; n--, at += sizeof(void *))
			why = bounds_walk(
			    *(const ProtobufCMessage *const *)(const void *)at, fn, arg);
	}
	return why;
}
