/* A backup as stored writes it, read strictly: header, content, padding, one member after the
 * other, then the end. Each header must be to the byte what stored's own writer makes of its name,
 * size and time. */
#include "apid/wardctl/ctl_tar.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Where the three fields of a header lie that may vary. */
#define NAME_LEN  100
#define SIZE_AT   124
#define SIZE_LEN  12
#define MTIME_AT  136
#define MTIME_LEN 12

#define SIZE_MOST (UINT64_C(1) << 50)

static int
bad(struct ctl_tar *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
	t->step = CTL_TAR_BAD;
	return -1;
}

static int
misplaced(struct ctl_tar *t)
{
	if (t->nmembers == 0)
		return bad(t, "not a backup of ward");
	return bad(t, "behind %s comes what does not belong there: the backup is damaged",
	    t->members[t->nmembers - 1].name);
}

static int
sink_failed(struct ctl_tar *t)
{
	t->why[0] = '\0';
	t->step = CTL_TAR_BAD;
	return -1;
}

/* ---------------------------------------------------------------- names */

static int
account_name_ok(const char *name, size_t len)
{
	return len >= 1 && len <= ACCOUNT_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") >= len;
}

const char *
ctl_tar_account(const char *file, char account[ACCOUNT_NAME_MAX + 1])
{
	size_t len = strlen(file);

	if (len < 12 || strncmp(file, "account-", 8) != 0 || strcmp(file + len - 3, ".db") != 0 ||
	    !account_name_ok(file + 8, len - 11))
		return NULL;
	(void)snprintf(account, ACCOUNT_NAME_MAX + 1, "%.*s", (int)(len - 11), file + 8);
	return account;
}

/* May this file come now? The text, the keyring, the service's database, those of the accounts,
 * the digests. */
static int
in_order(const struct ctl_tar *t, const char *name)
{
	static const char *const first[] = {"ward-backup", "keyring", "service.db"};
	char account[ACCOUNT_NAME_MAX + 1];

	if (t->nmembers < 3)
		return strcmp(name, first[t->nmembers]) == 0;
	if (strcmp(t->members[t->nmembers - 1].name, "ward-digests") == 0)
		return 0;
	for (size_t i = 0; i < t->nmembers; i++)
		if (strcmp(t->members[i].name, name) == 0)
			return 0;
	return strcmp(name, "ward-digests") == 0 || ctl_tar_account(name, account) != NULL;
}

/* ---------------------------------------------------------------- what is looked at */

static int
is_text(const struct ctl_tar_member *m)
{
	return strncmp(m->name, "ward-", 5) == 0;
}

/* The value of the next line if it begins so; *at moves on behind it. NULL if it does not. */
static char *
take_line(char **at, const char *key)
{
	size_t n = strlen(key);
	char *value = *at + n, *lf;

	if (strncmp(*at, key, n) != 0 || (lf = strchr(value, '\n')) == NULL)
		return NULL;
	*lf = '\0';
	*at = lf + 1;
	return value;
}

static int
is_time(const char *s)
{
	static const char like[] = "9999-99-99T99:99:99Z";
	size_t i;

	for (i = 0; like[i] != '\0' && s[i] != '\0'; i++)
		if (like[i] == '9' ? s[i] < '0' || s[i] > '9' : s[i] != like[i])
			return 0;
	return like[i] == '\0' && s[i] == '\0';
}

static int
read_about(struct ctl_tar *t)
{
	char *at = t->text, *format, *when, *log, *backend, *left_out = NULL;

	for (size_t i = 0; i < t->text_len; i++)
		if (t->text[i] != '\n' &&
		    ((unsigned char)t->text[i] < ' ' || (unsigned char)t->text[i] >= 127))
			return bad(t, "ward-backup: not the text that belongs there");
	if ((format = take_line(&at, "format ")) == NULL)
		return bad(t, "ward-backup: not the text that belongs there");
	if (strcmp(format, "1") != 0)
		return bad(t, "this backup has format %.8s: a later ward made it", format);
	when = take_line(&at, "time ");
	log = when != NULL ? take_line(&at, "log ") : NULL;
	backend = log != NULL ? take_line(&at, "backend ") : NULL;
	if (backend != NULL && *at != '\0')
		left_out = take_line(&at, "left-out ");
	if (backend == NULL || *at != '\0' || !is_time(when) || strlen(log) != 32 ||
	    strspn(log, "0123456789abcdef") != 32)
		return bad(t, "ward-backup: not the text that belongs there");
	(void)snprintf(t->time, sizeof(t->time), "%s", when);
	(void)snprintf(t->log_id, sizeof(t->log_id), "%s", log);
	(void)snprintf(t->left_out, sizeof(t->left_out), "%s", left_out != NULL ? left_out : "");
	return 0;
}

/* What ward-digests must say of the members before it. */
static size_t
digests_of(const struct ctl_tar *t, size_t n, char *out, size_t size)
{
	char hex[2 * CTL_TAR_SUM + 1];
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(out + len, size - len, "%s  %s\n",
		    sodium_bin2hex(hex, sizeof(hex), t->members[i].sum, CTL_TAR_SUM),
		    t->members[i].name);
	return len;
}

static int
check_digests(struct ctl_tar *t)
{
	char want[sizeof(t->text)];
	size_t n = digests_of(t, t->nmembers - 1, want, sizeof(want));

	if (n != t->text_len || memcmp(want, t->text, n) != 0)
		return bad(t, "the digests do not fit: the backup is damaged");
	return 0;
}

/* ---------------------------------------------------------------- headers */

/* Octal digits and a NUL, or base 256 (only of sizes). -1: neither. */
static int
number(const uint8_t *at, size_t len, uint64_t *out)
{
	uint64_t v = 0;

	if (at[0] == 0x80) {
		for (size_t i = 1; i < len; i++) {
			if (v > UINT64_MAX >> 8)
				return -1;
			v = v << 8 | at[i];
		}
	} else {
		for (size_t i = 0; i + 1 < len; i++) {
			if (at[i] < '0' || at[i] > '7')
				return -1;
			v = v << 3 | (uint64_t)(at[i] - '0');
		}
	}
	*out = v;
	return 0;
}

static int
size_ok(struct ctl_tar *t, const struct ctl_tar_member *m)
{
	char want[sizeof(t->text)];

	if (strcmp(m->name, "ward-backup") == 0)
		return m->size > 0 && m->size < CTL_TAR_ABOUT;
	if (strcmp(m->name, "keyring") == 0)
		return m->size > 0 && m->size <= CTL_TAR_KEYRING;
	if (strcmp(m->name, "ward-digests") == 0)
		return m->size == digests_of(t, t->nmembers, want, sizeof(want));
	return m->size > 0 && m->size <= SIZE_MOST;
}

static int
header(struct ctl_tar *t)
{
	struct ctl_tar_member *m = &t->members[t->nmembers];
	uint8_t want[TAR_BLOCK];
	uint64_t mtime = 0;

	if (t->nmembers == CTL_TAR_MEMBERS)
		return bad(t, "more files than a backup has");
	memset(m, 0, sizeof(*m));
	(void)snprintf(m->name, sizeof(m->name), "%.*s",
	    (int)strnlen((const char *)t->block, NAME_LEN), (const char *)t->block);
	if (number(t->block + SIZE_AT, SIZE_LEN, &m->size) == -1 || m->size > SIZE_MOST ||
	    number(t->block + MTIME_AT, MTIME_LEN, &mtime) == -1 || mtime > INT64_MAX)
		return misplaced(t);
	tar_header(want, m->name, m->size, (int64_t)mtime);
	if (memcmp(want, t->block, TAR_BLOCK) != 0 ||
	    (t->nmembers > 0 && t->time_s != (int64_t)mtime) || !in_order(t, m->name) ||
	    !size_ok(t, m))
		return misplaced(t);
	t->time_s = (int64_t)mtime;
	t->nmembers++;
	t->text_len = 0;
	t->left = m->size;
	t->step = CTL_TAR_CONTENT;
	(void)crypto_generichash_init(t->sum, NULL, 0, CTL_TAR_SUM);
	if (!is_text(m) && t->sink != NULL && t->sink->begin(t->sink->arg, m->name, m->size) == -1)
		return sink_failed(t);
	return 0;
}

/* ---------------------------------------------------------------- content, padding, the end */

static int
content_over(struct ctl_tar *t)
{
	struct ctl_tar_member *m = &t->members[t->nmembers - 1];

	(void)crypto_generichash_final(t->sum, m->sum, CTL_TAR_SUM);
	t->left = tar_padding(m->size);
	t->step = CTL_TAR_PADDING;
	if (!is_text(m))
		return t->sink != NULL && t->sink->end(t->sink->arg) == -1 ? sink_failed(t) : 0;
	t->text[t->text_len] = '\0';
	return t->nmembers == 1 ? read_about(t) : check_digests(t);
}

static int
content(struct ctl_tar *t, const uint8_t *p, size_t n)
{
	struct ctl_tar_member *m = &t->members[t->nmembers - 1];

	(void)crypto_generichash_update(t->sum, p, n);
	if (is_text(m)) { /* its size was checked: it fits, with its NUL */
		memcpy(t->text + t->text_len, p, n);
		t->text_len += n;
	} else if (t->sink != NULL && t->sink->data(t->sink->arg, p, n) == -1) {
		return sink_failed(t);
	}
	t->left -= n;
	return t->left == 0 ? content_over(t) : 0;
}

static int
zeros(struct ctl_tar *t, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return misplaced(t);
	t->left -= n;
	return 0;
}

/* A piece of what is due now; returns how much was taken, or -1. */
static ssize_t
take(struct ctl_tar *t, const uint8_t *p, size_t n)
{
	switch (t->step) {
	case CTL_TAR_HEADER:
		if (n > TAR_BLOCK - t->have)
			n = TAR_BLOCK - t->have;
		memcpy(t->block + t->have, p, n);
		t->have += n;
		if (t->have < TAR_BLOCK)
			return (ssize_t)n;
		t->have = 0;
		return header(t) == -1 ? -1 : (ssize_t)n;
	case CTL_TAR_CONTENT:
		if (n > t->left)
			n = (size_t)t->left;
		return content(t, p, n) == -1 ? -1 : (ssize_t)n;
	case CTL_TAR_PADDING:
	case CTL_TAR_ZEROS:
		if (n > t->left)
			n = (size_t)t->left;
		return zeros(t, p, n) == -1 ? -1 : (ssize_t)n;
	case CTL_TAR_OVER:
		return bad(t, "something comes behind the end of the backup");
	case CTL_TAR_BAD:
		break;
	}
	return -1;
}

/* What follows when nothing is left of a step. */
static void
next_step(struct ctl_tar *t)
{
	if (t->step == CTL_TAR_PADDING && t->left == 0) {
		t->step = CTL_TAR_HEADER;
		if (strcmp(t->members[t->nmembers - 1].name, "ward-digests") == 0) {
			t->step = CTL_TAR_ZEROS;
			t->left = TAR_END;
		}
	} else if (t->step == CTL_TAR_ZEROS && t->left == 0) {
		t->step = CTL_TAR_OVER;
	}
}

int
ctl_tar_feed(struct ctl_tar *t, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = take(t, p, len);

		if (n == -1)
			return -1;
		p += n;
		len -= (size_t)n;
		t->bytes += (uint64_t)n;
		next_step(t);
	}
	return 0;
}

int
ctl_tar_begin(struct ctl_tar *t, const struct ctl_tar_sink *sink)
{
	/* aligned_alloc wants a whole number of its alignment */
	size_t align = _Alignof(crypto_generichash_state);

	memset(t, 0, sizeof(*t));
	t->sink = sink;
	t->step = CTL_TAR_HEADER;
	t->sum = aligned_alloc(align, (sizeof(*t->sum) + align - 1) / align * align);
	return t->sum != NULL ? 0 : -1;
}

int
ctl_tar_end(struct ctl_tar *t)
{
	free(t->sum);
	t->sum = NULL;
	if (t->step == CTL_TAR_OVER)
		return 0;
	if (t->step == CTL_TAR_BAD)
		return -1;
	if (t->bytes == 0)
		return bad(t, "it is empty");
	return bad(t, t->nmembers == 0 ? "not a backup of ward" : "the backup is cut short");
}
