/* A data folder that was made from a backup. */
#include "stored/restored.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define FILE_NAME "restored"
#define ID_LEN    32

/* ---------------------------------------------------------------- the file */

/* 32 hex digits, and perhaps a newline. */
static int
id_ok(const char *text, size_t n)
{
	return (n == ID_LEN || (n == ID_LEN + 1 && text[ID_LEN] == '\n')) &&
	       strspn(text, "0123456789abcdef") == ID_LEN;
}

enum store_status
restored_read(struct store *s, char *text, size_t len)
{
	int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), why;
	char buf[ID_LEN + 3] = "";
	ssize_t n;

	s->restored_id[0] = '\0';
	if (fd == -1 && errno == ENOENT)
		return STORE_OK;
	n = fd != -1 ? read(fd, buf, sizeof(buf) - 1) : -1;
	why = errno;
	if (fd != -1)
		close(fd);
	if (n == -1) {
		snprintf(text, len, "the file \"restored\" cannot be read: %s", strerror(why));
		return STORE_IO;
	}
	if (!id_ok(buf, (size_t)n)) {
		snprintf(text, len,
		    "the file \"restored\" holds no id: the restore was cut short, restore again");
		return STORE_CORRUPT;
	}
	snprintf(s->restored_id, sizeof(s->restored_id), "%.*s", ID_LEN, buf);
	log_notice("restored from a backup: sessions are dropped and begin anew");
	return STORE_OK;
}

/* ---------------------------------------------------------------- the databases */

static enum store_status
transact(
    struct store *s, struct store_db *db, enum store_status (*run)(struct store_db *, const char *))
{
	enum store_status st;

	if (s->restored_id[0] == '\0')
		return STORE_OK;
	if (run == NULL)
		return STORE_BAD;
	if ((st = s->backend->begin(db)) != STORE_OK)
		return st;
	if ((st = run(db, s->restored_id)) == STORE_OK)
		return s->backend->commit(db);
	s->backend->rollback(db);
	return st;
}

enum store_status
restored_service(struct store *s, struct store_db *db)
{
	return transact(s, db, s->backend->log_rename);
}

enum store_status
restored_account(struct store *s, struct store_db *db)
{
	return transact(s, db, s->backend->restored);
}

void
restored_is_done(struct store *s, struct store_account *a)
{
	if (!a->opened.restored)
		return;
	a->opened.restored = 0;
	log_notice("%s: has gone on after the restore", a->name);
	store_tell_state(s);
}

/* ---------------------------------------------------------------- the end */

/* "account-NAME.db" of an account that nobody configured. */
static int
is_foreign(struct store *s, const char *file)
{
	char name[ACCOUNT_NAME_MAX + 1];
	size_t n = strlen(file);

	if (n < 12 || strncmp(file, "account-", 8) != 0 || strcmp(file + n - 3, ".db") != 0 ||
	    n - 11 > ACCOUNT_NAME_MAX)
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)(n - 11), file + 8);
	return store_account(s, name) == NULL;
}

int
restored_others(struct store *s, char *file, size_t len)
{
	struct dirent *e;
	DIR *d = opendir(".");
	int found = 0;

	if (d == NULL) {
		log_warn("the data folder cannot be listed");
		snprintf(file, len, "the data folder cannot be listed");
		return 1;
	}
	while (!found && (e = readdir(d)) != NULL) {
		if ((found = is_foreign(s, e->d_name)))
			snprintf(file, len, "%s", e->d_name);
	}
	closedir(d);
	return found;
}

void
restored_end(struct store *s)
{
	char file[64];
	int fd;

	if (s->restored_id[0] == '\0' || !store_all_open(s))
		return;
	/* if such an account comes later, it must be known where its database is from */
	if (restored_others(s, file, sizeof(file))) {
		log_notice(
		    "the file \"restored\" stays: there are databases of accounts that are not"
		    " configured");
		return;
	}
	if (unlink(FILE_NAME) == -1) { /* read again at the next start, to no effect */
		log_warn("the file \"restored\" cannot be removed");
		return;
	}
	if ((fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) != -1) {
		(void)fsync(fd); /* the same if it comes back */
		close(fd);
	}
}
