/* Schemas and how an older one becomes today's: in one transaction, or not at all. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "stored/sqlcipher/db.h"

#define APPLICATION_ID 0x77617264 /* "ward" */

/* Step i takes a database from version i to version i + 1. A step that has landed never changes.
 *
 * A row id beside a text key (record, contact): an update then touches one leaf page of the table
 * and not the index. WITHOUT ROWID where rows are short and live by their key alone. */
static const char *const account_steps[] = {
    /* 1 */
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE record(id INTEGER PRIMARY KEY, domain INTEGER NOT NULL, name TEXT NOT NULL,"
    "  version INTEGER NOT NULL, uploaded INTEGER NOT NULL, sealed BLOB NOT NULL,"
    "  UNIQUE(domain, name));"
    "CREATE TABLE device(one INTEGER PRIMARY KEY CHECK(one = 1), record BLOB NOT NULL);"
    "CREATE TABLE device_list(user TEXT PRIMARY KEY, list BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE contact(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, pn TEXT UNIQUE,"
    "  lid TEXT UNIQUE, push_name TEXT, lid_source TEXT, changed_ms INTEGER NOT NULL);"
    "CREATE TABLE contact_alias(id TEXT PRIMARY KEY, contact INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX contact_alias_of ON contact_alias(contact);"
    "CREATE TABLE event(seq INTEGER PRIMARY KEY, added_ms INTEGER NOT NULL, type TEXT NOT NULL,"
    "  origin TEXT NOT NULL, time_ms INTEGER NOT NULL, body BLOB NOT NULL);"
    "CREATE TABLE event_key(key TEXT PRIMARY KEY, seq INTEGER NOT NULL,"
    "  added_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE outbox(row INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE,"
    "  chat TEXT NOT NULL, uid INTEGER NOT NULL, key TEXT, params_hash BLOB NOT NULL,"
    "  content BLOB NOT NULL, state INTEGER NOT NULL, stanza BLOB, created_ms INTEGER NOT NULL,"
    "  was_online INTEGER, not_after_ms INTEGER, code INTEGER, reason TEXT, server_ms INTEGER,"
    "  added_ms INTEGER NOT NULL, UNIQUE(uid, key));"
    "CREATE INDEX outbox_pending ON outbox(row) WHERE state IN (1, 2);"
    "CREATE TABLE receipt(outbox INTEGER, party TEXT, status INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL, PRIMARY KEY(outbox, party)) WITHOUT ROWID;",
    /* 2
     *
     * An index by time where rows come and go seldom: what is old is found without a walk. Records
     * get one of those alone that can expire (message secrets), and one of the prekeys by their
     * flag, which are counted at every login.
     *
     * Rows with a blob that may be large have a row id, so that they stay out of the key's tree.
     * The devices of a send have a table of their own: an ack writes the row of the outbox anew,
     * and the list of a large group has 100 KB. */
    "ALTER TABLE record ADD COLUMN expires_s INTEGER;"
    "ALTER TABLE record ADD COLUMN message_s INTEGER;"
    "CREATE INDEX record_expiry ON record(expires_s) WHERE expires_s > 0;"
    "CREATE INDEX record_prekey ON record(uploaded, name) WHERE domain = 4;"
    "ALTER TABLE contact ADD COLUMN created_ms INTEGER NOT NULL DEFAULT 0;"
    "UPDATE contact SET created_ms = changed_ms;" /* the best that is known */
    "ALTER TABLE device_list ADD COLUMN put_ms INTEGER NOT NULL DEFAULT 0;"
    "UPDATE device_list SET put_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000;"
    "CREATE INDEX device_list_age ON device_list(put_ms);"
    "ALTER TABLE outbox ADD COLUMN taken INTEGER;"
    "CREATE INDEX outbox_keys ON outbox(added_ms) WHERE key IS NOT NULL;"
    "CREATE INDEX outbox_finished ON outbox(added_ms) WHERE state IN (3, 4);"
    "CREATE TABLE outbox_devices(outbox INTEGER PRIMARY KEY, devices BLOB NOT NULL);"
    "CREATE TABLE collection(name TEXT PRIMARY KEY, version INTEGER NOT NULL, hash BLOB NOT NULL,"
    "  fatal INTEGER) WITHOUT ROWID;"
    "CREATE TABLE mac(collection TEXT, idx BLOB, value BLOB NOT NULL, version INTEGER NOT NULL,"
    "  PRIMARY KEY(collection, idx)) WITHOUT ROWID;"
    "CREATE TABLE group_info(row INTEGER PRIMARY KEY, jid TEXT NOT NULL UNIQUE,"
    "  metadata BLOB NOT NULL);"
    "CREATE TABLE sender_key_device(jid TEXT, device TEXT, has_key INTEGER NOT NULL,"
    "  PRIMARY KEY(jid, device)) WITHOUT ROWID;"
    "CREATE INDEX sender_key_device_of ON sender_key_device(device);"
    "CREATE TABLE base_key(address TEXT, message_id TEXT, key BLOB NOT NULL,"
    "  added_ms INTEGER NOT NULL, PRIMARY KEY(address, message_id)) WITHOUT ROWID;"
    "CREATE INDEX base_key_age ON base_key(added_ms);"
    "CREATE TABLE token(user TEXT PRIMARY KEY, token BLOB NOT NULL, token_s INTEGER NOT NULL,"
    "  sender_s INTEGER) WITHOUT ROWID;"
    "CREATE TABLE pending(row INTEGER PRIMARY KEY, chat TEXT NOT NULL, sender TEXT NOT NULL,"
    "  id TEXT NOT NULL, stanza BLOB NOT NULL, attempts INTEGER, added_ms INTEGER NOT NULL,"
    "  UNIQUE(chat, sender, id));"
    "CREATE INDEX pending_age ON pending(added_ms);",
    /* 3
     *
     * Whom an older ward knew, it had met. */
    "ALTER TABLE outbox ADD COLUMN until_ms INTEGER;"
    "ALTER TABLE contact ADD COLUMN first_out_ms INTEGER;"
    "ALTER TABLE contact ADD COLUMN met_ms INTEGER;"
    "UPDATE contact SET met_ms = created_ms;"
    "CREATE INDEX contact_first_out ON contact(first_out_ms) WHERE first_out_ms IS NOT NULL;"
    "CREATE TABLE aside_contact(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, pn TEXT,"
    "  lid TEXT, push_name TEXT, lid_source TEXT, created_ms INTEGER NOT NULL,"
    "  aside_ms INTEGER NOT NULL);",
};

static const char *const service_steps[] = {
    /* 1 */
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE log(one INTEGER PRIMARY KEY CHECK(one = 1), log_id TEXT NOT NULL,"
    "  seq_reserved INTEGER NOT NULL, trimmed_seq INTEGER NOT NULL);"
    "CREATE TABLE consumer(uid INTEGER, name TEXT, acked_seq INTEGER NOT NULL,"
    "  last_ms INTEGER NOT NULL, PRIMARY KEY(uid, name)) WITHOUT ROWID;",
};

static enum store_status
get_int(struct store_db *db, const char *pragma, int64_t *out)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->sql, pragma, -1, &s, NULL);

	*out = 0;
	if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		*out = sqlite3_column_int64(s, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(s);
	return rc == SQLITE_NOTADB ? STORE_WRONG_KEY : db_status(db, rc);
}

static enum store_status
run(struct store_db *db, const char *sql)
{
	return db_status(db, sqlite3_exec(db->sql, sql, NULL, NULL, NULL));
}

/* A fresh database is told whose it is; a service's gets the name of its log. */
static enum store_status
sign(struct store_db *db, const char *owner)
{
	static struct sql meta = SQL("INSERT INTO meta(key, value) VALUES('owner', ?1)");
	static struct sql log = SQL("INSERT INTO log(one, log_id, seq_reserved, trimmed_seq)"
				    " VALUES(1, ?1, 0, 0)");
	uint8_t id[16];
	char hex[33];
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &meta, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, owner);
	if ((st = db_run(db, s)) != STORE_OK || db->kind != STORE_SERVICE)
		return st;
	if ((s = db_stmt(db, &log, &st)) == NULL)
		return st;
	randombytes_buf(id, sizeof(id));
	db_bind_text(s, 1, sodium_bin2hex(hex, sizeof(hex), id, sizeof(id)));
	return db_run(db, s);
}

static enum store_status
check_owner(struct store_db *db, const char *owner, char *text, size_t textlen)
{
	static struct sql q = SQL("SELECT value = ?1 FROM meta WHERE key = 'owner'");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int row = 0, same = 0;

	if (s == NULL)
		return st;
	db_bind_text(s, 1, owner);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row)
		same = sqlite3_column_int(s, 0);
	db_done(s);
	if (st == STORE_OK && !same) {
		snprintf(text, textlen, "%s belongs to another account or service", db->file);
		return STORE_FOREIGN;
	}
	return st;
}

static enum store_status
steps_from(struct store_db *db, int64_t version, const char *const *steps, int64_t newest,
    const char *owner)
{
	char sql[80];
	enum store_status st = STORE_OK;
	int64_t v;

	for (v = version; st == STORE_OK && v < newest; v++)
		st = run(db, steps[v]);
	if (st == STORE_OK && version == 0)
		st = sign(db, owner);
	if (st == STORE_OK) {
		snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		    APPLICATION_ID, (int)newest);
		st = run(db, sql);
	}
	return st;
}

enum store_status
migrate(struct store_db *db, const char *account, char *text, size_t textlen)
{
	const char *const *steps = db->kind == STORE_SERVICE ? service_steps : account_steps;
	const int64_t newest = db->kind == STORE_SERVICE
				   ? (int64_t)(sizeof(service_steps) / sizeof(service_steps[0]))
				   : (int64_t)(sizeof(account_steps) / sizeof(account_steps[0]));
	const char *owner = db->kind == STORE_SERVICE ? "" : account;
	int64_t version, app, tables;
	enum store_status st;

	if ((st = get_int(db, "PRAGMA user_version", &version)) != STORE_OK ||
	    (st = get_int(db, "PRAGMA application_id", &app)) != STORE_OK ||
	    (st = get_int(db, "SELECT count(*) FROM sqlite_master", &tables)) != STORE_OK)
		return st;
	if (tables > 0 && app != APPLICATION_ID) {
		snprintf(text, textlen, "%s is a database of another program", db->file);
		return STORE_FOREIGN;
	}
	if (version > newest) {
		snprintf(text, textlen,
		    "%s has schema %lld, this version of ward knows %lld: use the newer"
		    " ward",
		    db->file, (long long)version, (long long)newest);
		return STORE_NEWER_SCHEMA;
	}
	/* another's is not written to */
	if (version > 0 && (st = check_owner(db, owner, text, textlen)) != STORE_OK)
		return st;
	if (version < newest) {
		if ((st = db_begin(db)) != STORE_OK)
			return st;
		st = steps_from(db, version, steps, newest, owner);
		if (st != STORE_OK) {
			snprintf(text, textlen, "%s: schema %lld -> %lld: %.120s", db->file,
			    (long long)version, (long long)newest, sqlite3_errmsg(db->sql));
			db_rollback(db);
			return st;
		}
		if ((st = db_commit(db)) != STORE_OK)
			return st;
		log_info(
		    "%s: schema %lld -> %lld", db->file, (long long)version, (long long)newest);
	}
	return STORE_OK;
}
