/* The reporting token of an outgoing message: what of it is covered, and the token itself. */
#include "apid/message/reporting.h"

#include <string.h>

#include <sodium.h>

#include "apid/message/content.h"
#include "common/pb.h"
#include "common/pbwalk.h"

#define DEPTH_MAX 16u

/* Protocol page 04, 9.7, in its own notation: field numbers in ascending order; {} goes into the
 * field with that list; m: the field holds a Message, which is gone through with the whole list. */
static const char whitelist[] = "1 3{2,3,8,11,17{21,22},25} 4{1,16,17{21,22}} 5{3,4,5,16,17{21,22}}"
				" 6{1,17{21,22},30} 7{2,7,10,17{21,22},20} 8{2,7,9,17{21,22},21}"
				" 9{2,6,7,13,17{21,22},20} 12{1,2,14m,15} 18{6,16,17{21,22}}"
				" 26{4,5,8,13,17{21,22}} 28{1,2,4,5,6,7{21,22}} 37{1m}"
				" 49{2,3{1,2},5{21,22},8{1,2}} 53{1m} 55{1m} 58{1m} 59{1m}"
				" 60{2,3{1,2},5{21,22},8{1,2}} 64{2,3{1,2},5{21,22},8{1,2}}"
				" 66{2,6,7,13,17{21,22},20} 74{1m} 87{1m} 88{1,2{1},3{21,22}}"
				" 92{1m} 93{1m} 94{1m}";

struct rule {
	uint32_t field;
	const char *list; /* of what is in it; NULL: it is taken whole */
};

/* The rule at p. NULL: the list has ended; else where the next one begins. */
static const char *
rule_next(const char *p, struct rule *r)
{
	unsigned depth = 0;

	p += strspn(p, " ,");
	if (*p == '\0' || *p == '}')
		return NULL;
	for (r->field = 0; *p >= '0' && *p <= '9'; p++)
		r->field = r->field * 10 + (uint32_t)(*p - '0');
	r->list = *p == 'm' ? whitelist : *p == '{' ? p + 1 : NULL;
	if (*p == 'm')
		return p + 1;
	if (*p == '{')
		do {
			depth += *p == '{';
			depth -= *p == '}';
			p++;
		} while (depth > 0);
	return p;
}

static void
put_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(out, (uint8_t)(v | 0x80));
	buf_put_u8(out, (uint8_t)v);
}

static int filter(
    const uint8_t *bytes, size_t len, const char *list, unsigned depth, struct buf *out);

/* What is left of a field that is gone into; nothing if that is empty. */
static int
filter_inside(const struct pbwalk *w, const char *list, unsigned depth, struct buf *out)
{
	struct buf inner = BUF_INIT;
	int r = w->wire == 2 ? filter(w->data, w->len, list, depth + 1, &inner) : 0;

	if (r == 0 && inner.len > 0) {
		put_varint(out, (uint64_t)w->field << 3 | 2);
		put_varint(out, inner.len);
		buf_put(out, inner.data, inner.len);
	}
	buf_clear(&inner);
	return r;
}

static int
filter(const uint8_t *bytes, size_t len, const char *list, unsigned depth, struct buf *out)
{
	struct pbwalk w;
	struct rule rule;
	int more = 0;

	if (depth > DEPTH_MAX)
		return -1;
	for (const char *p = rule_next(list, &rule); p != NULL; p = rule_next(p, &rule)) {
		pbwalk_begin(&w, bytes, len);
		while ((more = pbwalk_next(&w)) == 1) {
			if (w.field != rule.field)
				continue;
			if (rule.list == NULL)
				buf_put(out, w.record, w.record_len);
			else if (filter_inside(&w, rule.list, depth, out) == -1)
				return -1;
		}
		if (more == -1)
			return -1;
	}
	return out->failed ? -1 : 0;
}

int
reporting_content(const uint8_t *message, size_t len, struct buf *out)
{
	return filter(message, len, whitelist, 0, out);
}

/* RFC 5869 with SHA-256, no salt, one block. */
static void
hkdf(const uint8_t ikm[32], const uint8_t *info, size_t len, uint8_t out[32])
{
	static const uint8_t zero[32] = {0}, one = 1;
	crypto_auth_hmacsha256_state st;
	uint8_t prk[32];

	crypto_auth_hmacsha256_init(&st, zero, sizeof(zero));
	crypto_auth_hmacsha256_update(&st, ikm, 32);
	crypto_auth_hmacsha256_final(&st, prk);
	crypto_auth_hmacsha256_init(&st, prk, sizeof(prk));
	crypto_auth_hmacsha256_update(&st, info, len);
	crypto_auth_hmacsha256_update(&st, &one, 1);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(prk, sizeof(prk));
	sodium_memzero(&st, sizeof(st));
}

void
reporting_token(const uint8_t secret[32], const char *id, const char *sender, const char *remote,
    const uint8_t *content, size_t len, uint8_t out[REPORTING_TOKEN_LEN])
{
	struct buf info = BUF_INIT;
	uint8_t key[32], mac[32];

	buf_put_str(&info, id);
	buf_put_str(&info, sender);
	buf_put_str(&info, remote);
	buf_put_str(&info, "Report Token");
	hkdf(secret, info.data, info.len, key);
	(void)crypto_auth_hmacsha256(mac, content, len, key);
	memcpy(out, mac, REPORTING_TOKEN_LEN);
	sodium_memzero(key, sizeof(key));
	buf_clear(&info);
}

/* 9.7: not for these, whatever they hold. */
static int
has_none(const E2e__Message *m)
{
	m = content_unwrap(m);
	return m->reaction_message != NULL || m->enc_reaction_message != NULL ||
	       m->poll_update_message != NULL || m->enc_event_response_message != NULL ||
	       m->keep_in_chat_message != NULL;
}

void
reporting_add(struct node *n, const uint8_t *message, size_t len, const char *id,
    const struct jid *own, const struct jid *chat)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	const E2e__Message *m = arena == NULL ? NULL : content_parse(message, len, arena, NULL);
	const E2e__MessageContextInfo *c = m == NULL ? NULL : m->message_context_info;
	char sender[JID_TEXT_MAX], remote[JID_TEXT_MAX];
	uint8_t token[REPORTING_TOKEN_LEN];
	struct buf content = BUF_INIT;
	struct node *r, *t;

	if (c != NULL && c->has_message_secret && c->message_secret.len == 32 && !has_none(m) &&
	    reporting_content(message, len, &content) == 0 && content.len > 0) {
		reporting_token(c->message_secret.data, id, jid_format(own, sender),
		    jid_format(chat, remote), content.data, content.len, token);
		r = node_child_new(n, "reporting");
		t = node_child_new(r, "reporting_token");
		node_setf(t, "v", "%d", REPORTING_VERSION);
		node_set_bytes(t, token, sizeof(token));
	}
	buf_clear(&content);
	pb_arena_free(arena);
}
