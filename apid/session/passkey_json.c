/* What WebAuthn says while linking: options and assertion, checked (protocol page 12, 1.3). */
#include "apid/session/passkey_json.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define LIST_MAX 64 /* credentials, and transports of one */

/* base64url without padding, of 1 to max bytes. Its length, or 0. */
static size_t
b64url(const json_t *v, uint8_t *out, size_t max)
{
	const char *text = json_string_value(v);
	size_t len = json_string_length(v), n = 0;
	const char *end;

	if (text == NULL || len == 0 || len > PASSKEY_JSON_MAX ||
	    sodium_base642bin(out, max, text, len, NULL, &n, &end,
		sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    end != text + len)
		return 0;
	return n;
}

static int
is_b64url(const json_t *v)
{
	uint8_t out[PASSKEY_JSON_MAX];

	return b64url(v, out, sizeof(out)) > 0;
}

/* ------------------------------------------------------------------ options */

static int
strings(const json_t *list)
{
	if (!json_is_array(list) || json_array_size(list) > LIST_MAX)
		return 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_string(json_array_get(list, i)))
			return 0;
	return 1;
}

static int
credentials(const json_t *list)
{
	if (!json_is_array(list) || json_array_size(list) > LIST_MAX)
		return 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *c = json_array_get(list, i), *t = json_object_get(c, "transports");

		if (!json_is_object(c) || !is_b64url(json_object_get(c, "id")) ||
		    !json_is_string(json_object_get(c, "type")) || (t != NULL && !strings(t)))
			return 0;
	}
	return 1;
}

static int
verification(json_t *o)
{
	static const char *const known[] = {"required", "preferred", "discouraged"};
	const json_t *v = json_object_get(o, "userVerification");

	if (v == NULL)
		return json_object_set_new(o, "userVerification", json_string("preferred")) == 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (json_is_string(v) && strcmp(json_string_value(v), known[i]) == 0)
			return 1;
	return 0;
}

/* Absent, or as it must be. */
static int
optional(const json_t *o, const char *name, int (*fits)(const json_t *))
{
	const json_t *v = json_object_get(o, name);

	return v == NULL || fits(v);
}

static int
is_text(const json_t *v)
{
	return json_is_string(v);
}

static int
is_object(const json_t *v)
{
	return json_is_object(v);
}

static int
is_time(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

json_t *
passkey_options(const void *text, size_t len, int64_t *wait_ms)
{
	json_t *o = len == 0 || len > PASSKEY_JSON_MAX
			? NULL
			: json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_int_t ms;

	if (!json_is_object(o) || !is_b64url(json_object_get(o, "challenge")) ||
	    !optional(o, "rpId", is_text) || !optional(o, "allowCredentials", credentials) ||
	    !optional(o, "extensions", is_object) || !optional(o, "timeout", is_time) ||
	    !verification(o)) {
		json_decref(o);
		return NULL;
	}
	ms = json_integer_value(json_object_get(o, "timeout"));
	*wait_ms = ms > 0 && ms < PASSKEY_WAIT_MS ? ms : PASSKEY_WAIT_MS;
	return o;
}

/* ------------------------------------------------------------------ assertion */

/* The members that the service gets, in its order. */
static json_t *
service_form(const json_t *o, const json_t *response)
{
	const json_t *handle = json_object_get(response, "userHandle");

	return json_pack("{s:O, s:O, s:s, s:{s:O, s:O, s:O, s:o}}", "id", json_object_get(o, "id"),
	    "rawId", json_object_get(o, "rawId"), "type", "public-key", "response",
	    "clientDataJSON", json_object_get(response, "clientDataJSON"), "authenticatorData",
	    json_object_get(response, "authenticatorData"), "signature",
	    json_object_get(response, "signature"), "userHandle",
	    handle == NULL ? json_null() : json_incref((json_t *)(uintptr_t)handle));
}

static const char *
write_form(json_t *form, struct passkey_assertion *out)
{
	out->text = form == NULL ? NULL : json_dumps(form, JSON_COMPACT);
	json_decref(form);
	if (out->text != NULL && strlen(out->text) <= PASSKEY_JSON_MAX)
		return NULL;
	passkey_assertion_clear(out);
	return "passkey_response";
}

const char *
passkey_assertion(const json_t *o, struct passkey_assertion *out)
{
	const json_t *response = json_object_get(o, "response"), *handle, *id, *raw;
	const char *type = json_string_value(json_object_get(o, "type"));

	memset(out, 0, sizeof(*out));
	id = json_object_get(o, "id");
	raw = json_object_get(o, "rawId");
	if ((out->id_len = b64url(raw, out->id, sizeof(out->id))) == 0)
		return "passkey_response.rawId";
	if (!json_is_string(id) || !json_equal(id, raw))
		return "passkey_response.id";
	if (type == NULL || strcmp(type, "public-key") != 0)
		return "passkey_response.type";
	if (!json_is_object(response))
		return "passkey_response.response";
	if (!is_b64url(json_object_get(response, "clientDataJSON")))
		return "passkey_response.response.clientDataJSON";
	if (!is_b64url(json_object_get(response, "authenticatorData")))
		return "passkey_response.response.authenticatorData";
	if (!is_b64url(json_object_get(response, "signature")))
		return "passkey_response.response.signature";
	handle = json_object_get(response, "userHandle");
	if (handle != NULL && !json_is_null(handle) && !is_b64url(handle))
		return "passkey_response.response.userHandle";
	return write_form(service_form(o, response), out);
}

void
passkey_assertion_clear(struct passkey_assertion *a)
{
	if (a->text != NULL)
		sodium_memzero(a->text, strlen(a->text));
	free(a->text);
	sodium_memzero(a, sizeof(*a));
}
