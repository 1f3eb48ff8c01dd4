/* Session records made shorter, as protobuf fields: libsignal has no way to drop a chain. */
#include "keyd/session_trim.h"

#include "keyd/counter.h"

/* Fields of its RecordStructure and SessionStructure. */
#define CURRENT  1
#define ARCHIVED 2 /* newest first */
#define RECEIVER 7 /* oldest first */

struct field {
	unsigned number;
	const uint8_t *whole, *body; /* body: of bytes, else NULL */
	size_t whole_len, body_len;
};

struct walk {
	const uint8_t *at, *end;
};

static int
take_varint(struct walk *w, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; w->at < w->end && shift < 64; shift += 7) {
		uint8_t c = *w->at++;

		*v |= (uint64_t)(c & 0x7f) << shift;
		if ((c & 0x80) == 0)
			return 0;
	}
	return -1;
}

/* 1, 0 at the end, -1 malformed. */
static int
take_field(struct walk *w, struct field *f)
{
	uint64_t tag, v;

	f->whole = w->at;
	if (w->at == w->end)
		return 0;
	if (take_varint(w, &tag) == -1 || (tag & 7) % 2 != 0 || (tag & 7) > 2 ||
	    take_varint(w, &v) == -1)
		return -1;
	f->number = (unsigned)(tag >> 3);
	f->body = NULL;
	f->body_len = 0;
	if ((tag & 7) == 2) {
		if (v > (uint64_t)(w->end - w->at))
			return -1;
		f->body = w->at;
		f->body_len = (size_t)v;
		w->at += v;
	}
	f->whole_len = (size_t)(w->at - f->whole);
	return 1;
}

static void
put_bytes(struct buf *out, unsigned number, const struct buf *body)
{
	size_t n = body->len;

	(void)buf_put_u8(out, (uint8_t)(number << 3 | 2));
	for (; n >= 0x80; n >>= 7)
		(void)buf_put_u8(out, (uint8_t)(n | 0x80));
	(void)buf_put_u8(out, (uint8_t)n);
	(void)buf_put(out, body->data, body->len);
}

static int
put_state(const struct field *state, size_t max, struct buf *out)
{
	struct walk w = {state->body, state->body + state->body_len}, again = w;
	size_t over = state->body_len > max ? state->body_len - max : 0, chains = 0;
	struct buf body = BUF_INIT;
	struct field f;
	int more;

	while ((more = take_field(&w, &f)) == 1)
		chains += f.number == RECEIVER;
	while (more == 0 && take_field(&again, &f) == 1) {
		if (f.number == RECEIVER && chains-- > 1 && over > 0) {
			over -= over < f.whole_len ? over : f.whole_len;
			counters[COUNT_SESSION_TRIMMED]++;
			continue;
		}
		(void)buf_put(&body, f.whole, f.whole_len);
	}
	put_bytes(out, CURRENT, &body);
	more |= body.failed;
	buf_clear(&body);
	return more == 0 ? 0 : -1;
}

int
session_trim(const uint8_t *record, size_t len, size_t max, struct buf *out)
{
	struct walk w = {record, record + len};
	struct field f;
	int more;

	while ((more = take_field(&w, &f)) == 1) {
		if (f.number == CURRENT && f.body != NULL) {
			if (put_state(&f, max - 8, out) == -1) /* its tag and length */
				return -1;
		} else if (f.number == ARCHIVED && out->len + f.whole_len > max) {
			counters[COUNT_SESSION_TRIMMED]++;
		} else {
			(void)buf_put(out, f.whole, f.whole_len);
		}
	}
	return more == 0 && !out->failed && out->len <= max ? 0 : -1;
}
