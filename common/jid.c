/* JIDs: parsing, printing and comparing (protocol page 02, section 8). */
#include <stdio.h>
#include <string.h>

#include "common/jid.h"

#define AGENT_DIGITS_MAX 3

static const char *const known_servers[] = {JID_PN, JID_LID, JID_GROUP, JID_BROADCAST,
    JID_NEWSLETTER, "bot", JID_HOSTED, JID_HOSTED_LID, "c.us", "call", "msgr", "interop"};

/* What may stand in a user or server: no control character, space, '@', ':' or '/'; valid for any
 * UTF-8 above that, which the caller has checked if it came from outside. */
static int
part_ok(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c <= ' ' || c == 0x7f || c == '@' || c == ':' || c == '/')
			return 0;
	}
	return 1;
}

/* 1..max_digits digits, at most max. -1 if not so. */
static long
small_number(const char *s, size_t len, size_t max_digits, long max)
{
	long v = 0;
	size_t i;

	if (len == 0 || len > max_digits)
		return -1;
	for (i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v <= max ? v : -1;
}

/* Servers whose device JIDs travel as AD_JID: one byte for the device. */
static int
server_has_ad_form(const char *server)
{
	return strcmp(server, JID_PN) == 0 || strcmp(server, JID_LID) == 0 ||
	       strcmp(server, JID_HOSTED) == 0 || strcmp(server, JID_HOSTED_LID) == 0;
}

static int
make(struct jid *out, const char *user, size_t ulen, const char *server, size_t slen,
    unsigned long device)
{
	memset(out, 0, sizeof(*out));
	if (slen == 0 || slen > JID_SERVER_MAX || !part_ok(server, slen))
		return -1;
	if (ulen > JID_USER_MAX || !part_ok(user, ulen))
		return -1;
	memcpy(out->server, server, slen);
	if (strcmp(out->server, "c.us") == 0)
		memcpy(out->server, JID_PN, sizeof(JID_PN));
	if (device > (server_has_ad_form(out->server) ? 255u : 65535u) ||
	    (ulen == 0 && device != 0))
		return -1;
	if (ulen != 0)
		memcpy(out->user, user, ulen);
	out->device = (uint16_t)device;
	return 0;
}

int
jid_make(struct jid *out, const char *user, const char *server, unsigned device)
{
	return make(out, user, strlen(user), server, strlen(server), device);
}

/* The length of the user without an old-style ".agent" or "_agent" (one separator, 1 to 3 digits).
 */
static size_t
without_agent(const char *user, size_t len)
{
	size_t i, at = len;

	for (i = 0; i < len; i++) {
		if (user[i] != '.' && user[i] != '_')
			continue;
		if (at != len)
			return len;
		at = i;
	}
	if (at == 0 || at == len)
		return len;
	if (small_number(user + at + 1, len - at - 1, AGENT_DIGITS_MAX, 999) < 0)
		return len;
	return at;
}

/* "integrator-name" of interop: takes the number off the front, if there is one. */
static long
take_integrator(const char **user, size_t *len)
{
	const char *dash = memchr(*user, '-', *len);
	long n;

	if (dash == NULL || dash + 1 == *user + *len)
		return 0;
	n = small_number(*user, (size_t)(dash - *user), 5, 65535);
	if (n < 0)
		return 0;
	*len -= (size_t)(dash + 1 - *user);
	*user = dash + 1;
	return n;
}

/* Only servers that are known: any word would be a JID otherwise. */
static int
parse_server_alone(const char *text, struct jid *out)
{
	size_t i;

	for (i = 0; i < sizeof(known_servers) / sizeof(known_servers[0]); i++) {
		if (strcmp(text, known_servers[i]) == 0)
			return make(out, "", 0, text, strlen(text), 0);
	}
	return -1;
}

int
jid_parse(const char *text, struct jid *out)
{
	const char *at = strchr(text, '@'), *user = text, *server, *colon;
	long device = 0, integrator = 0;
	size_t ulen;

	memset(out, 0, sizeof(*out));
	if (at == NULL)
		return parse_server_alone(text, out);
	server = at + 1;
	if (at == text)
		return parse_server_alone(server, out);
	ulen = (size_t)(at - text);
	colon = memchr(user, ':', ulen);
	if (colon != NULL) {
		device = small_number(colon + 1, (size_t)(at - colon - 1), 5, 65535);
		ulen = (size_t)(colon - text);
		if (device < 0 || ulen == 0)
			return -1;
	}
	if (strcmp(server, JID_PN) == 0 || strcmp(server, "c.us") == 0)
		ulen = without_agent(user, ulen);
	else if (strcmp(server, "interop") == 0)
		integrator = take_integrator(&user, &ulen);
	if (make(out, user, ulen, server, strlen(server), (unsigned long)device) == -1)
		return -1;
	out->integrator = (uint16_t)integrator;
	return 0;
}

const char *
jid_format(const struct jid *j, char *buf)
{
	char device[8] = "", integrator[8] = "";

	if (j->device != 0)
		(void)snprintf(device, sizeof(device), ":%u", (unsigned)j->device);
	if (j->user[0] != '\0' && strcmp(j->server, "interop") == 0)
		(void)snprintf(integrator, sizeof(integrator), "%u-", (unsigned)j->integrator);
	if (j->user[0] == '\0')
		(void)snprintf(buf, JID_TEXT_MAX, "%s", j->server);
	else
		(void)snprintf(
		    buf, JID_TEXT_MAX, "%s%s%s@%s", integrator, j->user, device, j->server);
	return buf;
}

struct jid
jid_bare(const struct jid *j)
{
	return jid_device(j, 0);
}

struct jid
jid_device(const struct jid *j, unsigned device)
{
	struct jid out = *j;

	out.device = (uint16_t)device;
	return out;
}

int
jid_same_user(const struct jid *a, const struct jid *b)
{
	return a->integrator == b->integrator && strcmp(a->user, b->user) == 0 &&
	       strcmp(a->server, b->server) == 0;
}

int
jid_eq(const struct jid *a, const struct jid *b)
{
	return a->device == b->device && jid_same_user(a, b);
}

int
jid_is_pn(const struct jid *j)
{
	return j->user[0] != '\0' && jid_on(j, JID_PN);
}

int
jid_is_lid(const struct jid *j)
{
	return j->user[0] != '\0' && jid_on(j, JID_LID);
}

int
jid_by_number(const struct jid *j)
{
	return jid_is_pn(j) || (j->user[0] != '\0' && jid_on(j, JID_HOSTED));
}

int
jid_by_lid(const struct jid *j)
{
	return jid_is_lid(j) || (j->user[0] != '\0' && jid_on(j, JID_HOSTED_LID));
}

int
jid_is_hosted(const struct jid *j)
{
	return jid_on(j, JID_HOSTED) || jid_on(j, JID_HOSTED_LID);
}

int
jid_is_server(const struct jid *j)
{
	return j->user[0] == '\0';
}

int
jid_on(const struct jid *j, const char *server)
{
	return strcmp(j->server, server) == 0;
}
