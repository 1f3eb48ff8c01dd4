/* For the tests of stored's long work: stores with something in them, tasks, and archives. */
#ifndef WARD_STORED_TASKS_H
#define WARD_STORED_TASKS_H

#include "tests/unit/stored_rig.h"

#include <sqlcipher/sqlite3.h>

#include "stored/keyring.h"
#include "stored/sqlcipher/care.h"
#include "stored/task.h"

/* ---------------------------------------------------------------- tasks */

/* Ask for a task; fd, or -1, is the channel's. Its number, or 0: see r. */
static inline uint64_t
tasks_ask(struct rig *g, uint32_t type, const ProtobufCMessage *m, int fd, struct rig_reply *r)
{
	memset(r, 0, sizeof(*r));
	r->desc = &stored__task__descriptor;
	assert_int_not_equal(channel_request_fd(g->apid, type, m, fd, STORED__TYPE__TASK, r->desc,
				 64, 600000, rig_on_reply, r),
	    0);
	RIG_UNTIL(g, r->came);
	return r->ok ? ((Stored__Task *)r->pb)->task : 0;
}

static inline uint64_t
tasks_begin(struct rig *g, uint32_t type, const ProtobufCMessage *m, int fd)
{
	struct rig_reply r;
	uint64_t task = tasks_ask(g, type, m, fd, &r);

	if (task == 0)
		fail_msg("task: %s: %s", r.code, r.text);
	rig_reply_clear(&r);
	return task;
}

static inline void
tasks_refused(struct rig *g, uint32_t type, const ProtobufCMessage *m, int fd, const char *code)
{
	struct rig_reply r;

	assert_int_equal(tasks_ask(g, type, m, fd, &r), 0);
	assert_string_equal(r.code, code);
}

static inline uint64_t
tasks_backup(struct rig *g, int fd)
{
	Stored__Backup m = STORED__BACKUP__INIT;

	return tasks_begin(g, STORED__TYPE__BACKUP, &m.base, fd);
}

/* Until it has ended, with this reason ("" = well). */
static inline void
tasks_wait(struct rig *g, uint64_t task, const char *reason)
{
	RIG_UNTIL(g, g->task.task == task && g->task.ended);
	if (strcmp(g->task.reason, reason) != 0)
		fail_msg(
		    "ended with \"%s\" (%s), not \"%s\"", g->task.reason, g->task.text, reason);
	assert_null(g->s->task);
}

static inline void
tasks_keyring(void)
{
	uint8_t header[64];

	memset(header, 7, sizeof(header));
	assert_int_equal(keyring_write(header, sizeof(header)), KEYRING_OK);
}

/* ---------------------------------------------------------------- what is in a store */

static char tasks_big[20000]; /* a JSON object of that size */

/* The unit of number i: a row of nearly every kind, some with pages of their own. */
static inline void
tasks_send_unit(struct rig *g, const char *account, int i, struct rig_reply *r)
{
	Stored__Contact c = STORED__CONTACT__INIT;
	Stored__GroupPut gp = STORED__GROUP_PUT__INIT;
	Stored__OutboxPut op = STORED__OUTBOX_PUT__INIT;
	Stored__DeviceList dl = STORED__DEVICE_LIST__INIT;
	Stored__SenderKeyDevice kd = STORED__SENDER_KEY_DEVICE__INIT, *kds[1] = {&kd};
	Stored__SenderKeyStatus ks = STORED__SENDER_KEY_STATUS__INIT;
	Stored__BaseKeyName bn = STORED__BASE_KEY_NAME__INIT;
	Stored__BaseKey bk = STORED__BASE_KEY__INIT;
	Stored__EventAppend e;
	Stored__Write w[7], *list[7];
	char name[40], body[64], lid[40];
	uint8_t bytes[33] = {1};
	uint64_t unit = rig_unit_next();
	size_t k;

	for (k = 0; k < 7; k++) {
		stored__write__init(&w[k]);
		list[k] = &w[k];
	}
	memset(tasks_big, 'x', sizeof(tasks_big) - 1);
	tasks_big[0] = '{';
	tasks_big[sizeof(tasks_big) - 2] = '}';
	snprintf(name, sizeof(name), "u_%026d", i);
	snprintf(lid, sizeof(lid), "%d@lid", i + 100);
	snprintf(body, sizeof(body), "{\"n\":%d}", i);
	c.id = name;
	c.lid = i % 3 != 0 ? lid : NULL;
	w[0].contact = &c;
	gp.group = lid;
	gp.metadata.data = (uint8_t *)tasks_big;
	gp.metadata.len = (size_t)(i % 7) * 1000;
	w[1].group_put = &gp;
	op.message_id = name;
	op.chat = lid;
	op.uid = (uint32_t)i % 3;
	op.idempotency_key = name;
	op.params_hash.data = bytes;
	op.params_hash.len = 32;
	op.content.data = (uint8_t *)tasks_big;
	op.content.len = (size_t)(i % 5) * 2000;
	op.state = i % 2 ? STORED__OUTBOX_STATE__QUEUED : STORED__OUTBOX_STATE__ACKED;
	op.created_ms = 1;
	w[2].outbox_put = &op;
	dl.user = lid;
	w[3].device_list = &dl;
	kd.device = lid;
	kd.has_key = 1;
	ks.group = rig_str("group@g.us");
	ks.devices = kds;
	ks.n_devices = 1;
	w[4].sender_key_status = &ks;
	bn.address = lid;
	bn.message_id = name;
	bk.name = &bn;
	bk.key.data = bytes;
	bk.key.len = 33;
	w[5].base_key_put = &bk;
	rig_event_init(&e, i % 10 == 0 ? tasks_big : body, name);
	w[6].event = &e;
	rig_unit_open(g, account, unit);
	rig_stage(g, account, unit, name, 1, "sealed");
	rig_commit_writes(g, account, unit, 1, list, 7, r);
}

static inline void
tasks_unit(struct rig *g, const char *account, int i)
{
	struct rig_reply r;

	tasks_send_unit(g, account, i, &r);
	RIG_UNTIL(g, r.came);
	if (!rig_result(&r)->committed)
		fail_msg("unit %d: %s", i, rig_result(&r)->reason);
	rig_reply_clear(&r);
}

/* Units `from` … below `to`, many on their way at once. */
static inline void
tasks_fill(struct rig *g, const char *account, int from, int to)
{
	static struct rig_reply r[128];
	int i, n;

	for (; from < to; from += n) {
		n = to - from < 128 ? to - from : 128;
		for (i = 0; i < n; i++)
			tasks_send_unit(g, account, from + i, &r[i]);
		RIG_UNTIL(g, r[n - 1].came);
		for (i = 0; i < n; i++) {
			assert_true(r[i].came && rig_result(&r[i])->committed);
			rig_reply_clear(&r[i]);
		}
	}
}

/* Open one of the rig's databases without a store. */
static inline struct store_db *
tasks_open(const char *account)
{
	int64_t budget = 0;
	uint8_t key[32];
	struct store_open o = {.kind = account != NULL ? STORE_ACCOUNT : STORE_SERVICE,
	    .account = account,
	    .key = key,
	    .check_budget_ms = &budget};
	struct store_db *db;

	rig_key(key, account != NULL ? account : "service", 0);
	if (store_sqlcipher.open(&o, &db) != STORE_OK)
		fail_msg("open: %s", o.text);
	return db;
}

static inline void
tasks_exec(struct store_db *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db->sql, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
}

static inline int64_t
tasks_number(struct store_db *db, const char *sql)
{
	sqlite3_stmt *s = NULL;
	int64_t n;

	if (sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db->sql));
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return n;
}

/* Nothing is left in its log. */
static inline void
tasks_write_back(struct store_db *db)
{
	int i;

	for (i = 0; i < 1000 && care_log_bytes(db) > 0; i++)
		assert_int_equal(store_sqlcipher.tidy(db, STORE_TIDY_ALL), STORE_OK);
	assert_int_equal(care_log_bytes(db), 0);
}

struct tasks_sum {
	uint8_t bytes[32];
};

/* All that is in a database, in one number. */
static inline struct tasks_sum
tasks_sum(struct store_db *db)
{
	static crypto_generichash_state h;
	sqlite3_stmt *t = NULL, *s = NULL;
	struct tasks_sum out;
	char sql[160];
	int i;

	crypto_generichash_init(&h, NULL, 0, 32);
	assert_int_equal(
	    sqlite3_prepare_v2(db->sql,
		"SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", -1, &t, NULL),
	    SQLITE_OK);
	while (sqlite3_step(t) == SQLITE_ROW) {
		snprintf(
		    sql, sizeof(sql), "SELECT * FROM %s ORDER BY 1, 2", sqlite3_column_text(t, 0));
		crypto_generichash_update(&h, (uint8_t *)sql, strlen(sql));
		if (sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL) != SQLITE_OK) { /* one column */
			*strrchr(sql, ',') = '\0';
			assert_int_equal(sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL), SQLITE_OK);
		}
		while (sqlite3_step(s) == SQLITE_ROW) {
			for (i = 0; i < sqlite3_column_count(s); i++) {
				uint8_t type = (uint8_t)sqlite3_column_type(s, i);
				const void *p = sqlite3_column_blob(s, i);
				int32_t n = sqlite3_column_bytes(s, i);

				crypto_generichash_update(&h, &type, 1);
				crypto_generichash_update(&h, (const uint8_t *)&n, sizeof(n));
				if (n > 0)
					crypto_generichash_update(&h, p, (size_t)n);
			}
		}
		sqlite3_finalize(s);
	}
	sqlite3_finalize(t);
	crypto_generichash_final(&h, out.bytes, 32);
	return out;
}

static inline int
tasks_same(struct tasks_sum a, struct tasks_sum b)
{
	return memcmp(a.bytes, b.bytes, 32) == 0;
}

/* ---------------------------------------------------------------- archives and folders */

static inline uint64_t
tasks_octal(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (; n > 0 && *p >= '0' && *p <= '7'; n--, p++)
		v = v * 8 + (uint64_t)(*p - '0');
	assert_true(*p == '\0' || *p == ' ');
	return v;
}

static inline void
tasks_check_header(const uint8_t *h)
{
	uint64_t sum = 0;
	int i;

	assert_memory_equal(h + 257,
	    "ustar\0"
	    "00",
	    8);
	assert_int_equal(h[156], '0');
	for (i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? ' ' : h[i];
	assert_int_equal(tasks_octal(h + 148, 7), sum);
}

static inline void
tasks_append(char *out, size_t len, const char *more)
{
	size_t n = strlen(out);

	assert_true(strlen(more) < len - n);
	snprintf(out + n, len - n, "%s", more);
}

/* Take an archive apart into the folder; names: all members with a space behind each. Checks the
 * form, and each digest of "ward-digests". */
static inline void
tasks_untar(const uint8_t *tar, size_t len, const char *folder, char *names, size_t nameslen)
{
	char path[200], hex[65], line[200], list[8192] = "";
	uint8_t sum[32];
	size_t at = 0, size;

	names[0] = '\0';
	assert_int_equal(len % 512, 0);
	while (at + 512 <= len && tar[at] != 0) {
		const uint8_t *h = tar + at;
		int fd;

		tasks_check_header(h);
		size = tasks_octal(h + 124, 12);
		at += 512;
		assert_true(size <= len - at);
		tasks_append(names, nameslen, (const char *)h);
		tasks_append(names, nameslen, " ");
		snprintf(path, sizeof(path), "%s/%s", folder,
		    strcmp((const char *)h, "keyring") == 0 ? "keyring.0" : (const char *)h);
		assert_int_not_equal(
		    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), -1);
		assert_int_equal(write(fd, tar + at, size), size);
		close(fd);
		if (strcmp((const char *)h, "ward-digests") == 0) {
			assert_int_equal(size, strlen(list));
			assert_memory_equal(tar + at, list, size);
		}
		crypto_generichash(sum, 32, tar + at, size, NULL, 0);
		snprintf(line, sizeof(line), "%s  %s\n", sodium_bin2hex(hex, 65, sum, 32),
		    (const char *)h);
		tasks_append(list, sizeof(list), line);
		at += (size + 511) / 512 * 512;
	}
	assert_int_equal(len - at, 1024);
	for (; at < len; at++)
		assert_int_equal(tar[at], 0);
}

static inline uint8_t *
tasks_read_file(const char *name, size_t *len)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat sb;
	uint8_t *p;

	assert_int_not_equal(fd, -1);
	assert_int_equal(fstat(fd, &sb), 0);
	*len = (size_t)sb.st_size;
	assert_non_null(p = malloc(*len + 1));
	assert_int_equal(read(fd, p, *len), sb.st_size);
	close(fd);
	return p;
}

static inline void
tasks_write_file(const char *name, const void *p, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

/* Another folder, and this one is the working folder from now on. */
static inline void
tasks_enter(char folder[64])
{
	snprintf(folder, 64, "/tmp/stored-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
}

static inline void
tasks_leave(const char *folder)
{
	struct dirent *e;
	DIR *d;

	assert_int_equal(chdir(folder), 0);
	assert_non_null(d = opendir("."));
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.')
			assert_int_equal(unlink(e->d_name), 0);
	}
	closedir(d);
	assert_int_equal(chdir(rig_dir), 0);
	assert_int_equal(rmdir(folder), 0);
}

#endif
