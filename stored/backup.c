/* BACKUP: all databases and the keyring as they are at one moment, as a tar to a descriptor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "common/log.h"
#include "stored/keyring.h"
#include "stored/sink.h"
#include "stored/tar.h"
#include "stored/task.h"

#define BUFFER     ((size_t)64 * 1024)
#define GONE_MS    60000                   /* a reader that takes nothing for so long is gone */
#define LOG_SMALL  ((uint64_t)1024 * 1024) /* a write-ahead log that is written back in no time */
#define LOG_ROUNDS 3
#define LOG_TRIES  256 /* of one database a round: under load what is written comes in between */

#define SUM_LEN     32
#define MEMBERS_MAX (ACCOUNTS_MAX + 4) /* text, keyring, service, accounts, digests */
/* a line of ward-digests: hex, two spaces, name, newline: what `b2sum -l 256 -c` reads */
#define DIGEST_LINE (2 * SUM_LEN + 2 + 64 + 1)

struct member {
	char name[64];
	uint64_t size;
	size_t db;           /* of the backup's list, or NO_DB */
	const uint8_t *text; /* if it is none */
	uint8_t sum[SUM_LEN];
};
#define NO_DB SIZE_MAX

struct backup {
	struct sink sink;
	struct task *task; /* NULL until its first step */
	/* before the begin: write-ahead logs are made small, one database a step */
	size_t small_at;
	int rounds, tries, held;
	struct task_db dbs[ACCOUNTS_MAX + 1];
	size_t ndbs;
	/* the tar */
	struct member members[MEMBERS_MAX];
	size_t nmembers, at; /* at == nmembers: the end is being written */
	uint64_t offset;     /* in the member */
	int in_member;       /* its header is written */
	int ended;           /* nothing is left to put into the buffer */
	int64_t time_s;
	crypto_generichash_state sum;
	char about[4096], digests[MEMBERS_MAX * DIGEST_LINE + 1];
	uint8_t keyring[KEYRING_FILE_MAX];
	uint8_t buf[BUFFER];
	size_t len, sent;
	int64_t moved_ms; /* when the reader last took something */
};

/* ---------------------------------------------------------------- the moment */

static struct member *
add(struct backup *b, const char *name, uint64_t size, size_t db, const void *text)
{
	struct member *m = &b->members[b->nmembers++];

	snprintf(m->name, sizeof(m->name), "%s", name);
	m->size = size;
	m->db = db;
	m->text = text;
	b->task->total += TAR_BLOCK + size + tar_padding(size);
	return m;
}

static void
release_db(struct store *s, struct task_db *d)
{
	if (!d->left && task_db_open(s, d))
		s->backend->backup_end(d->db);
	d->left = 1;
}

static void
release_all(struct store *s, struct backup *b)
{
	size_t i;

	for (i = 0; b->held && i < b->ndbs; i++)
		release_db(s, &b->dbs[i]);
}

/* Hold all databases, in one turn: no unit is committed between the first and the last. */
static enum task_next
hold(struct store *s, struct backup *b)
{
	const char *file;
	uint64_t size;
	enum store_status st;
	size_t i;

	b->ndbs = task_databases(s, b->dbs);
	for (i = 0; i < b->ndbs; i++)
		b->dbs[i].left = 1;
	b->held = 1;
	for (i = 0; i < b->ndbs; i++) {
		st = s->backend->backup_begin(b->dbs[i].db, &file, &size);
		if (st != STORE_OK)
			return task_fail(b->task, store_status_word(st),
			    "%s: its database cannot be held as it is", task_db_name(&b->dbs[i]));
		b->dbs[i].left = 0;
		(void)add(b, file, size, i, NULL);
	}
	return TASK_ON;
}

static void
about(struct store *s, struct backup *b)
{
	char left_out[2048], when[32];
	time_t t = (time_t)b->time_s;
	struct tm tm;
	int n;

	task_not_open(s, left_out, sizeof(left_out));
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	n = snprintf(b->about, sizeof(b->about), "format 1\ntime %s\nlog %s\nbackend %s\n", when,
	    s->log.log_id, s->backend->name);
	if (left_out[0] != '\0') {
		(void)snprintf(
		    b->about + n, sizeof(b->about) - (size_t)n, "left-out %s\n", left_out);
		task_say(b->task, "left out, because they are not open: %s", left_out);
	}
}

static enum task_next
begin(struct store *s, struct backup *b)
{
	enum keyring_status ks;
	enum task_next next;
	size_t i, len, digests = 0;

	b->time_s = s->wall() / 1000;
	b->task->total = TAR_END;
	if ((ks = keyring_copy(b->keyring, &len)) != KEYRING_OK || len == 0)
		return task_fail(b->task, keyring_word(ks != KEYRING_OK ? ks : KEYRING_CORRUPT),
		    "the keyring cannot be read: a backup without it could not be opened");
	about(s, b);
	(void)add(b, "ward-backup", strlen(b->about), NO_DB, b->about);
	(void)add(b, "keyring", len, NO_DB, b->keyring);
	if ((next = hold(s, b)) != TASK_ON)
		return next;
	for (i = 0; i < b->nmembers; i++)
		digests += 2 * SUM_LEN + 3 + strlen(b->members[i].name);
	(void)add(b, "ward-digests", digests, NO_DB, b->digests);
	b->moved_ms = s->mono();
	return TASK_ON;
}

/* Before the begin large write-ahead logs are written back, a part a step, so that the begin of
 * all, which must be one step, is short. 1 = there is nothing more to do. */
static int
made_small(struct store *s, struct backup *b)
{
	struct task_db list[ACCOUNTS_MAX + 1];
	size_t n = task_databases(s, list);
	enum store_status st;

	for (; b->rounds < LOG_ROUNDS; b->rounds++, b->small_at = 0) {
		for (; b->small_at < n; b->small_at++, b->tries = 0) {
			struct task_db *d = &list[b->small_at];

			if (s->backend->log_bytes == NULL || b->tries++ == LOG_TRIES ||
			    s->backend->log_bytes(d->db) <= LOG_SMALL)
				continue;
			if ((st = s->backend->tidy(d->db, STORE_TIDY_ALL)) != STORE_OK) {
				b->tries = LOG_TRIES;
				store_trouble(s, d->account, st);
			}
			return 0;
		}
	}
	return 1;
}

/* ---------------------------------------------------------------- the bytes */

static void
list_digests(struct backup *b)
{
	char hex[2 * SUM_LEN + 1];
	size_t i, n = 0;

	for (i = 0; i < b->at; i++)
		n += (size_t)snprintf(b->digests + n, sizeof(b->digests) - n, "%s  %s\n",
		    sodium_bin2hex(hex, sizeof(hex), b->members[i].sum, SUM_LEN),
		    b->members[i].name);
}

static enum task_next
read_member(struct store *s, struct backup *b, struct member *m, uint8_t *out, size_t n)
{
	struct task_db *d;
	enum store_status st;

	if (m->db == NO_DB) {
		memcpy(out, m->text + b->offset, n);
		return TASK_ON;
	}
	d = &b->dbs[m->db];
	if (!task_db_open(s, d))
		return task_fail(b->task, "account_failed", "%s was closed", task_db_name(d));
	st = s->backend->backup_read(d->db, b->offset, out, n);
	if (st == STORE_FULL)
		return task_fail(b->task, "disk_full",
		    "%s: so much was written meanwhile that its log has no more room: give a"
		    " faster reader, or make space in the data folder",
		    task_db_name(d));
	if (st != STORE_OK)
		return task_fail(b->task, store_status_word(st), "%s: its database cannot be read",
		    task_db_name(d));
	return TASK_ON;
}

static void
start_member(struct backup *b, struct member *m)
{
	if (m->text == (const uint8_t *)b->digests)
		list_digests(b);
	tar_header(b->buf + b->len, m->name, m->size, b->time_s);
	b->len += TAR_BLOCK;
	b->offset = 0;
	b->in_member = 1;
	(void)crypto_generichash_init(&b->sum, NULL, 0, SUM_LEN);
}

static void
end_member(struct store *s, struct backup *b, struct member *m)
{
	size_t pad = tar_padding(m->size);

	memset(b->buf + b->len, 0, pad);
	b->len += pad;
	(void)crypto_generichash_final(&b->sum, m->sum, SUM_LEN);
	b->in_member = 0;
	b->at++;
	if (m->db != NO_DB) /* its log need not grow any longer */
		release_db(s, &b->dbs[m->db]);
}

/* The next piece into the empty buffer: always whole blocks. */
static enum task_next
fill(struct store *s, struct backup *b)
{
	struct member *m;
	uint64_t left;
	size_t n;

	b->len = b->sent = 0;
	while (b->at < b->nmembers && BUFFER - b->len >= 2 * TAR_BLOCK) {
		m = &b->members[b->at];
		if (!b->in_member)
			start_member(b, m);
		left = m->size - b->offset;
		n = (BUFFER - b->len) / TAR_BLOCK * TAR_BLOCK;
		n = left < n ? (size_t)left : n;
		if (n > 0 && read_member(s, b, m, b->buf + b->len, n) != TASK_ON)
			return TASK_FAILED;
		(void)crypto_generichash_update(&b->sum, b->buf + b->len, n);
		b->len += n;
		b->offset += n;
		if (b->offset == m->size)
			end_member(s, b, m);
	}
	if (b->at == b->nmembers && !b->ended && BUFFER - b->len >= TAR_END) {
		memset(b->buf + b->len, 0, TAR_END);
		b->len += TAR_END;
		b->ended = 1;
	}
	return TASK_ON;
}

/* ---------------------------------------------------------------- to the reader */

static enum task_next
write_failed(struct backup *b)
{
	switch (errno) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return task_fail(b->task, "disk_full",
		    "there is no more space where the backup is written to (%s)", strerror(errno));
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return task_fail(b->task, "reader_gone", "the reader closed its end");
	default:
		if (errno == EPERM && b->sink.kind == SINK_PIPE) /* sink.c's word for it */
			return task_fail(
			    b->task, "bad_request", "the descriptor was made blocking");
		return task_fail(
		    b->task, "io", "the backup cannot be written: %s", strerror(errno));
	}
}

static enum task_next
stream(struct store *s, struct backup *b)
{
	size_t moved = 0;
	ssize_t n;

	while (moved < TASK_STEP_BYTES && !task_over(b->task)) {
		if (b->sent == b->len) {
			if (b->ended)
				return TASK_DONE;
			if (fill(s, b) != TASK_ON)
				return TASK_FAILED;
		}
		if ((n = sink_write(&b->sink, b->buf + b->sent, b->len - b->sent)) == -1)
			return write_failed(b);
		if (n == 0)
			return sink_wait(&b->sink) == 0 ? TASK_WAITS : write_failed(b);
		b->moved_ms = s->mono();
		b->sent += (size_t)n;
		moved += (size_t)n;
		b->task->done += (uint64_t)n;
	}
	return TASK_ON;
}

/* ---------------------------------------------------------------- the task */

static enum task_next
backup_step(struct store *s, struct task *t)
{
	struct backup *b = t->state;

	b->task = t;
	if (b->held)
		return stream(s, b);
	if (s->service == NULL) /* closed since it was asked for: nothing to restore from */
		return task_fail(t, "account_failed", "%s", s->service_opened.text);
	return made_small(s, b) ? begin(s, b) : TASK_ON;
}

static enum task_next
backup_tick(struct store *s, struct task *t)
{
	struct backup *b = t->state;

	if (s->mono() - b->moved_ms < GONE_MS)
		return TASK_WAITS;
	return task_fail(t, "reader_gone", "the reader took nothing for %d s", GONE_MS / 1000);
}

static void
backup_end(struct store *s, struct task *t)
{
	struct backup *b = t->state;

	release_all(s, b);
	sink_close(&b->sink);
	free(b);
}

static void
on_writable(void *arg)
{
	struct backup *b = arg;

	task_wake(b->task);
}

static const struct task_kind backup_kind = {"backup", backup_step, backup_tick, backup_end};

int
task_backup_row(struct message *m, void *owner)
{
	struct store *s = owner;
	struct backup *b;
	const char *why;
	int ret, fd;

	if (!task_allowed(s, m, &ret))
		return ret;
	if (s->backend->backup_begin == NULL)
		return channel_reply_error(
		    m->channel, m->id, "unsupported", "this store makes no backups");
	/* the state of the hash has its own wish about alignment */
	if ((b = aligned_alloc(_Alignof(struct backup), sizeof(*b))) == NULL)
		return channel_reply_error(m->channel, m->id, "no_memory", "no memory for a task");
	memset(b, 0, sizeof(*b));
	fd = m->fd;
	m->fd = -1;
	if ((why = sink_open(&b->sink, fd, s->base, on_writable, b)) != NULL) {
		free(b);
		return channel_reply_error(m->channel, m->id, "bad_request", "%s", why);
	}
	return task_start(s, m, &backup_kind, b);
}
