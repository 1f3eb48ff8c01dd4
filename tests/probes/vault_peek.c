/* A tool for tests only: with the master key and the data folder of a stopped service, prints the
 * private keys of an account, so that a test can search for them; or spoils the
 * database in a way that a test needs.
 *
 *	vault_peek KEYFILE FOLDER ACCOUNT
 *	vault_peek --set-schema N KEYFILE FOLDER ACCOUNT
 *	vault_peek --drop-prekeys KEYFILE FOLDER ACCOUNT
 *
 * or tells what a key of 32 bytes opens, whatever the keyring says: the database ("database 1"),
 *and with the database opened by another key how many of the records ("records 7 of 7"):
 *
 *	vault_peek --count KEYFILE DATABASE-KEYFILE FOLDER ACCOUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <signal/ratchet.h>
#include <signal/session_record.h>
#include <signal/session_state.h>
#include <signal/signal_protocol.h>
#include <sodium.h>
#include <sqlcipher/sqlite3.h>

#include "common/buf.h"
#include "ipc/stored.pb-c.h"
#include "keyd/device.h"
#include "keyd/keyring.h"
#include "keyd/vault.h"
#include "stored/keyring.h"

static uint8_t vault_key[32], database_key[32];
static signal_context *signal_ctx;

static void
die(const char *what)
{
	fprintf(stderr, "vault_peek: %s\n", what);
	exit(1);
}

static void
print_key(const char *name, const uint8_t *key, size_t len)
{
	printf("%s ", name);
	for (size_t i = 0; i < len; i++)
		printf("%02x", key[i]);
	printf("\n");
}

static size_t
read_file(const char *path, uint8_t *out, size_t max)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL)
		die(path);
	n = fread(out, 1, max, f);
	fclose(f);
	return (n);
}

static void
derive_keys(const char *keyfile, const char *folder, const char *account)
{
	struct keyring_source source;
	uint8_t secret[KEYRING_SOURCE_MAX], header[KEYRING_MAX], master[32];
	size_t len = read_file(keyfile, secret, sizeof(secret));

	if (keyring_parse(&source, KEYRING_RAW, secret, len) != NULL)
		die("not a key file");
	if (chdir(folder) != 0 || keyring_read(header, &len) != 0)
		die("no keyring in the folder");
	if (keyring_open(&source, header, len, master) != NULL)
		die("wrong master key");
	keyring_derive(master, "vault", account, vault_key);
	keyring_derive(master, "database", account, database_key);
}

static sqlite3 *
open_database(const char *account)
{
	sqlite3 *db;
	char path[80], hex[65], key[80];

	snprintf(path, sizeof(path), "account-%s.db", account);
	sodium_bin2hex(hex, sizeof(hex), database_key, sizeof(database_key));
	snprintf(key, sizeof(key), "x'%s'", hex);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    sqlite3_key_v2(db, "main", key, (int)strlen(key)) != SQLITE_OK ||
	    sqlite3_exec(db,
		"PRAGMA cipher_hmac_algorithm = HMAC_SHA256; PRAGMA cipher_log_level = NONE", NULL,
		NULL, NULL) != SQLITE_OK)
		die("cannot open the database");
	return (db);
}

static void
print_device(const struct buf *plain)
{
	struct device d;

	if (device_decode(&d, plain->data, plain->len) != 0)
		die("the device record does not decode");
	print_key("identity", d.identity_priv, sizeof(d.identity_priv));
	print_key("noise", d.noise_priv, sizeof(d.noise_priv));
	print_key("adv_secret", d.adv_secret, sizeof(d.adv_secret));
}

static void
print_session(const struct buf *plain)
{
	session_record *record;
	ratchet_root_key *root;
	signal_buffer *key;

	if (session_record_deserialize(&record, plain->data, plain->len, signal_ctx) != 0)
		die("a session record does not decode");
	root = session_state_get_root_key(session_record_get_state(record));
	if (root != NULL && ratchet_root_key_get_key(root, &key) == 0) {
		print_key("session", signal_buffer_data(key), signal_buffer_len(key));
		signal_buffer_free(key);
	}
	SIGNAL_UNREF(record);
}

static void
print_records(sqlite3 *db, const char *account)
{
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(db,
		"SELECT domain, name, version, sealed FROM record WHERE domain IN (1, 3)", -1, &s,
		NULL) != SQLITE_OK)
		die(sqlite3_errmsg(db));
	while (sqlite3_step(s) == SQLITE_ROW) {
		struct buf plain = BUF_INIT;
		struct vault_id id = {account, sqlite3_column_int(s, 0),
		    (const char *)sqlite3_column_text(s, 1), (uint64_t)sqlite3_column_int64(s, 2)};

		if (vault_unseal(vault_key, &id, sqlite3_column_blob(s, 3),
			(size_t)sqlite3_column_bytes(s, 3), &plain) != 0)
			die("a record does not open");
		if (id.domain == STORED__DOMAIN__DEVICE)
			print_device(&plain);
		else
			print_session(&plain);
		buf_clear(&plain);
	}
	sqlite3_finalize(s);
}

/* The keys of a raw master key, without a look at the keyring. */
static void
raw_keys(const char *keyfile, const char *account)
{
	uint8_t master[32];

	if (read_file(keyfile, master, sizeof(master)) != sizeof(master))
		die("not a key of 32 bytes");
	keyring_derive(master, "vault", account, vault_key);
	keyring_derive(master, "database", account, database_key);
}

static int
can_read(sqlite3 *db)
{
	return (sqlite3_exec(db, "SELECT count(*) FROM record", NULL, NULL, NULL) == SQLITE_OK);
}

static void
count_records(const char *keyfile, const char *db_keyfile, const char *folder, const char *account)
{
	uint8_t key[32];
	unsigned n = 0, opened = 0;
	sqlite3 *db;
	sqlite3_stmt *s;

	raw_keys(db_keyfile, account);
	memcpy(key, database_key, sizeof(key));
	raw_keys(keyfile, account);
	if (chdir(folder) != 0)
		die(folder);
	db = open_database(account);
	printf("database %d\n", can_read(db));
	sqlite3_close(db);
	memcpy(database_key, key, sizeof(key));
	db = open_database(account);
	if (!can_read(db) ||
	    sqlite3_prepare_v2(
		db, "SELECT domain, name, version, sealed FROM record", -1, &s, NULL) != SQLITE_OK)
		die("the second key does not open the database");
	while (sqlite3_step(s) == SQLITE_ROW) {
		struct buf plain = BUF_INIT;
		struct vault_id id = {account, sqlite3_column_int(s, 0),
		    (const char *)sqlite3_column_text(s, 1), (uint64_t)sqlite3_column_int64(s, 2)};

		n++;
		opened += vault_unseal(vault_key, &id, sqlite3_column_blob(s, 3),
			      (size_t)sqlite3_column_bytes(s, 3), &plain) == 0;
		buf_clear(&plain);
	}
	sqlite3_finalize(s);
	sqlite3_close(db);
	printf("records %u of %u\n", opened, n);
}

static void
change(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(sqlite3_errmsg(db));
}

int
main(int argc, char **argv)
{
	char sql[80] = "";
	sqlite3 *db;

	if (argc == 6 && strcmp(argv[1], "--count") == 0) {
		if (sodium_init() < 0)
			die("libraries");
		count_records(argv[2], argv[3], argv[4], argv[5]);
		return (0);
	}
	if (argc == 6 && strcmp(argv[1], "--set-schema") == 0) {
		snprintf(sql, sizeof(sql), "PRAGMA user_version = %ld", strtol(argv[2], NULL, 10));
		argv += 2;
	} else if (argc == 5 && strcmp(argv[1], "--drop-prekeys") == 0) {
		snprintf(sql, sizeof(sql), "DELETE FROM record WHERE domain = %d",
		    STORED__DOMAIN__PREKEY);
		argv += 1;
	} else if (argc != 4)
		die("usage: vault_peek [--set-schema N | --drop-prekeys] KEYFILE FOLDER ACCOUNT");
	if (sodium_init() < 0 || signal_context_create(&signal_ctx, NULL) != 0)
		die("libraries");
	derive_keys(argv[1], argv[2], argv[3]);
	db = open_database(argv[3]);
	if (sql[0] != '\0') {
		change(db, sql);
	} else {
		print_key("vault", vault_key, sizeof(vault_key));
		print_records(db, argv[3]);
	}
	sqlite3_close(db);
	return (0);
}
