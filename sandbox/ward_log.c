/* Log lines of the children: bounded, escaped, filtered, and copied to standard error. */
#include "sandbox/ward.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define READ_MAX    16384 /* bytes of one child a round, so that the others get their turn */
#define LINES_BURST 4000  /* lines at once, then */
#define LINES_PER_S 500

static unsigned lost; /* lines that standard error did not take */

static const char *
level_name(unsigned level)
{
	static const char *const names[] = {"err", "warn", "notice", "info", "debug"};

	return (names[level]);
}

size_t
ward_log_format(const char *name, pid_t pid, const char *record, size_t len, unsigned level,
    char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	unsigned lv = LOG_LV_ERR; /* what has no level is nothing that we know */
	size_t i = 0, n;

	if (len > 0 && record[0] >= '0' && record[0] <= '0' + LOG_LV_DEBUG) {
		lv = (unsigned)(record[0] - '0');
		i = 1;
	}
	if (lv > level)
		return (0);
	n = (size_t)snprintf(out, size, "%s[%d]: %s: ", name, (int)pid, level_name(lv));
	for (; i < len && n + 5 < size; i++) {
		unsigned char ch = (unsigned char)record[i];

		if (ch >= 0x20 && ch < 0x7f) {
			out[n++] = (char)ch;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[ch >> 4];
		out[n++] = hex[ch & 15];
	}
	out[n++] = '\n';
	return (n);
}

/* Standard error may be a pipe that nobody empties: then lines are lost, never the loop. */
static void
put(const char *line, size_t len)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	char note[64];
	ssize_t n;

	if (poll(&pfd, 1, 0) != 1 || (pfd.revents & POLLOUT) == 0) {
		lost++;
		return;
	}
	if (lost > 0) {
		n = snprintf(note, sizeof(note), "ward: warn: %u log lines lost\n", lost);
		if (write(STDERR_FILENO, note, (size_t)n) == n)
			lost = 0;
	}
	do {
		n = write(STDERR_FILENO, line, len);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		lost++;
}

/* One line of this child may pass now. At debug level all may: somebody is looking. */
static int
may_pass(const struct ward *w, struct ward_child *c)
{
	struct ward_bucket *b = &c->bucket;
	int64_t now = clock_mono_ms();
	uint64_t more;

	if (w->level == LOG_LV_DEBUG)
		return (1);
	if (b->filled_ms == 0) {
		b->tokens = LINES_BURST;
		b->filled_ms = now;
	}
	more = (uint64_t)(now - b->filled_ms) * LINES_PER_S / 1000;
	if (more > 0) {
		b->tokens =
		    more + b->tokens > LINES_BURST ? LINES_BURST : b->tokens + (unsigned)more;
		b->filled_ms = now;
	}
	if (b->tokens == 0) {
		b->dropped++;
		return (0);
	}
	b->tokens--;
	if (b->dropped > 0) {
		log_warnx("%s[%d]: %u log lines dropped: too many at once", role_name(c->role),
		    (int)c->pid, b->dropped);
		b->dropped = 0;
	}
	return (1);
}

static void
copy_line(struct ward *w, struct ward_child *c)
{
	char out[WARD_LINE_MAX * 4 + 64];
	size_t n;

	n = ward_log_format(
	    role_name(c->role), c->pid, c->line, c->len, w->level, out, sizeof(out));
	if (n > 0 && may_pass(w, c))
		put(out, n);
	c->len = 0;
}

static void
take(struct ward *w, struct ward_child *c, const char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (data[i] == '\n')
			copy_line(w, c);
		else if (c->len < sizeof(c->line)) /* the rest of a longer one is dropped */
			c->line[c->len++] = data[i];
	}
}

void
ward_log_read(struct ward *w, struct ward_child *c)
{
	char data[4096];
	size_t total = 0;
	ssize_t n;

	while (c->log != -1 && total < READ_MAX) {
		n = read(c->log, data, sizeof(data));
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			if (c->len > 0)
				copy_line(w, c);
			close(c->log);
			c->log = -1;
			return;
		}
		take(w, c, data, (size_t)n);
		total += (size_t)n;
	}
}
