/* Log lines of every process: one place that formats, escapes, bounds and writes them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"

#define LOG_LINE_MAX 1024 /* the whole record with its newline; below PIPE_BUF, so never torn */
#define LOG_BURST    10
#define LOG_REDACTED 4

static const char *const level_names[] = {"err", "warn", "notice", "info", "debug"};

static struct {
	char name[16];
	int fd;
	enum log_level level;
	unsigned lost; /* records that the full pipe did not take */
} log_state = {"", -1, LOG_LV_INFO, 0};

void
log_open(const char *name, int fd)
{
	snprintf(log_state.name, sizeof(log_state.name), "%s", name);
	log_state.fd = fd;
}

void
log_set_level(enum log_level level)
{
	log_state.level = level;
}

enum log_level
log_get_level(void)
{
	return log_state.level;
}

int
log_level_parse(const char *text)
{
	size_t i;

	for (i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcmp(text, level_names[i]) == 0)
			return (int)i;
	return -1;
}

/* Copy text behind out[at], control and non-ASCII bytes as \xNN; keeps room for newline and NUL. */
static size_t
log_escape(char out[LOG_LINE_MAX + 1], size_t at, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	const size_t end = LOG_LINE_MAX - 1;
	const unsigned char *p;

	for (p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p == '\\') {
			if (end - at < 2)
				break;
			out[at++] = '\\';
			out[at++] = '\\';
		} else if (*p >= 0x20 && *p < 0x7f) {
			if (end - at < 1)
				break;
			out[at++] = (char)*p;
		} else {
			if (end - at < 4)
				break;
			out[at++] = '\\';
			out[at++] = 'x';
			out[at++] = hex[*p >> 4];
			out[at++] = hex[*p & 15];
		}
	}
	return at;
}

/* One record, one write. A full pipe loses the record: logging must not stop the loop. */
static int
log_write(enum log_level level, const char *text)
{
	char line[LOG_LINE_MAX + 1];
	size_t at = 0;
	ssize_t n;
	int fd = log_state.fd;

	if (fd >= 0)
		line[at++] = (char)('0' + level);
	else
		at = (size_t)snprintf(line, sizeof(line), "%s%s%s: ", log_state.name,
		    log_state.name[0] != '\0' ? ": " : "", level_names[level]);
	at = log_escape(line, at, text);
	line[at++] = '\n';
	do {
		n = write(fd >= 0 ? fd : STDERR_FILENO, line, at);
	} while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

static void
log_emit(enum log_level level, const char *text)
{
	char lost[64];

	if (log_state.lost > 0) {
		snprintf(lost, sizeof(lost), "%u log lines lost: the log was full", log_state.lost);
		if (log_write(LOG_LV_WARN, lost) == 0)
			log_state.lost = 0;
	}
	if (log_write(level, text) == -1)
		log_state.lost++;
}

/* err: 0, or the errno whose text is appended. */
static void log_v(enum log_level level, int err, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void
log_v(enum log_level level, int err, const char *fmt, va_list ap)
{
	int saved = errno;
	char text[LOG_LINE_MAX];
	size_t n;

	if (level > log_state.level)
		return;
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	n = strlen(text);
	if (err != 0)
		snprintf(text + n, sizeof(text) - n, ": %s", strerror(err));
	log_emit(level, text);
	errno = saved;
}

#define LOG_BODY(level, err)                                                                       \
	do {                                                                                       \
		va_list ap;                                                                        \
		int e = (err);                                                                     \
		va_start(ap, fmt);                                                                 \
		log_v(level, e, fmt, ap);                                                          \
		va_end(ap);                                                                        \
	} while (0)

void
log_err(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_ERR, errno);
}

void
log_errx(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_ERR, 0);
}

void
log_warn(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_WARN, errno);
}

void
log_warnx(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_WARN, 0);
}

void
log_notice(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_NOTICE, 0);
}

void
log_info(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_INFO, 0);
}

void
log_debug(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_DEBUG, 0);
}

void
fatal(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_ERR, errno);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	LOG_BODY(LOG_LV_ERR, 0);
	exit(1);
}

int
log_allowed(struct log_limit *l)
{
	long now = (long)clock_mono_ms();

	if (l->last_ms != 0)
		l->tokens += (double)(now - l->last_ms) / 1000.0;
	if (l->tokens > LOG_BURST)
		l->tokens = LOG_BURST;
	l->last_ms = now;
	if (l->tokens < 1) {
		l->dropped++;
		return 0;
	}
	l->tokens -= 1;
	if (l->dropped > 0) {
		log_notice("%u similar lines dropped", l->dropped);
		l->dropped = 0;
	}
	return 1;
}

const char *
log_redact(const char *text)
{
	static unsigned char key[crypto_shorthash_KEYBYTES];
	static int have_key;
	static char out[LOG_REDACTED][2 + 8 + 1];
	static unsigned next;
	unsigned char hash[crypto_shorthash_BYTES];
	char *at = out[next++ % LOG_REDACTED];

	if (!have_key) {
		randombytes_buf(key, sizeof(key));
		have_key = 1;
	}
	if (text == NULL)
		text = "";
	crypto_shorthash(hash, (const unsigned char *)text, strlen(text), key);
	snprintf(at, sizeof(out[0]), "p:%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
	return at;
}
