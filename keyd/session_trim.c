/* Session records made shorter, as protobuf fields: libsignal has no way to drop a chain. */
#include "common/pbwalk.h"
#include "keyd/counter.h"
#include "keyd/session_trim.h"

/* Fields of its RecordStructure and SessionStructure. */
#define CURRENT  1
#define ARCHIVED 2 /* newest first */
#define RECEIVER 7 /* oldest first */

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
put_state(const uint8_t *state, size_t len, size_t max, struct buf *out)
{
	struct pbwalk w, again;
	size_t over = len > max ? len - max : 0, chains = 0;
	struct buf body = BUF_INIT;
	int more;

	pbwalk_begin(&w, state, len);
	again = w;
	while ((more = pbwalk_next(&w)) == 1)
		chains += w.field == RECEIVER;
	while (more == 0 && pbwalk_next(&again) == 1) {
		if (again.field == RECEIVER && chains-- > 1 && over > 0) {
			over -= over < again.record_len ? over : again.record_len;
			counters[COUNT_SESSION_TRIMMED]++;
			continue;
		}
		(void)buf_put(&body, again.record, again.record_len);
	}
	put_bytes(out, CURRENT, &body);
	more |= body.failed;
	buf_clear(&body);
	return more == 0 ? 0 : -1;
}

int
session_trim(const uint8_t *record, size_t len, size_t max, struct buf *out)
{
	struct pbwalk w;
	int more;

	pbwalk_begin(&w, record, len);
	while ((more = pbwalk_next(&w)) == 1) {
		if (w.field == CURRENT && w.wire == 2) {
			if (put_state(w.data, w.len, max - 8, out) == -1) /* its tag and length */
				return -1;
		} else if (w.field == ARCHIVED && out->len + w.record_len > max) {
			counters[COUNT_SESSION_TRIMMED]++;
		} else {
			(void)buf_put(out, w.record, w.record_len);
		}
	}
	return more == 0 && !out->failed && out->len <= max ? 0 : -1;
}
