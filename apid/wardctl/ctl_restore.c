/* wardctl restore: a backup into an empty data folder, or only looked at. Needs no service. */
#include "apid/wardctl/ctl_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"

#define PIECE    (256u * 1024)
#define CONF_MAX (1024u * 1024)

struct restore {
	struct ctl *c;
	const char *file, *path, *conf;
	int check;
	struct config *config;
	uid_t owner; /* of a new folder; -1 = ours */
	gid_t group;
	struct restore_folder folder;
	struct ctl_tar tar;
};

static int
usage(struct ctl *c)
{
	ctl_say(c, "usage: wardctl restore FILE|- --folder FOLDER [--config FILE]\n"
		   "       wardctl restore FILE|- --check");
	return EX_USAGE_;
}

/* --name VALUE or --name=VALUE: how many words it took, 0 = another word. */
static int
take_option(const char *name, int argc, char **argv, const char **value)
{
	size_t n = strlen(name);

	if (strncmp(argv[0], name, n) != 0 || (argv[0][n] != '\0' && argv[0][n] != '='))
		return 0;
	*value = argv[0][n] == '=' ? argv[0] + n + 1 : argc > 1 ? argv[1] : "";
	return argv[0][n] == '=' || argc < 2 ? 1 : 2;
}

static int
words(struct restore *r, int argc, char **argv)
{
	for (int i = 0, n; i < argc; i += n) {
		if ((n = take_option("--folder", argc - i, argv + i, &r->path)) != 0 ||
		    (n = take_option("--config", argc - i, argv + i, &r->conf)) != 0)
			continue;
		n = 1;
		if (strcmp(argv[i], "--check") == 0)
			r->check = 1;
		else if (r->file == NULL && (argv[i][0] != '-' || argv[i][1] == '\0'))
			r->file = argv[i];
		else
			return usage(r->c);
	}
	if (r->file == NULL || (r->path != NULL && r->path[0] == '\0') ||
	    (r->conf != NULL && r->conf[0] == '\0') ||
	    (r->check ? r->path != NULL || r->conf != NULL : r->path == NULL && r->conf == NULL))
		return usage(r->c);
	return 0;
}

/* ---------------------------------------------------------------- the config */

static int
read_config(struct restore *r)
{
	struct buf text = BUF_INIT;
	char err[512] = "too long";
	FILE *f = fopen(r->conf, "re");
	uint8_t *p;
	size_t n = 1;

	if (f == NULL) {
		ctl_say(r->c, "%s: %s", r->conf, strerror(errno));
		return EX_REFUSED;
	}
	text.max = CONF_MAX;
	while (n > 0 && (p = buf_reserve(&text, 4096)) != NULL) {
		n = fread(p, 1, 4096, f);
		text.len -= 4096 - n;
	}
	if (!text.failed)
		r->config = config_parse(r->conf, text.data != NULL ? (const char *)text.data : "",
		    text.len, err, sizeof(err));
	buf_clear(&text);
	(void)fclose(f);
	if (r->config != NULL)
		return 0;
	ctl_say(r->c, "%s", err);
	return EX_REFUSED;
}

/* As ward itself finds the user of stored. */
static int
find_owner(struct restore *r)
{
	const char *user = config_str(r->config, "service", "user_stored");
	const struct passwd *pw;
	char *end;

	if (geteuid() != 0 || config_bool(r->config, "service", "developer_unconfined"))
		return 0;
	errno = 0;
	r->owner = (uid_t)strtoul(user, &end, 10);
	if (end != user && *end == '\0' && errno == 0) {
		pw = getpwuid(r->owner);
		r->group = pw != NULL ? pw->pw_gid : (gid_t)r->owner;
		return 0;
	}
	if ((pw = getpwnam(user)) == NULL) {
		ctl_say(r->c, "%s: there is no user %s (service.user_stored)", r->conf, user);
		return EX_REFUSED;
	}
	r->owner = pw->pw_uid;
	r->group = pw->pw_gid;
	return 0;
}

/* ---------------------------------------------------------------- reading */

static int
not_a_backup(struct restore *r)
{
	ctl_say(r->c, "%s: %s; nothing was restored", r->file, r->tar.why);
	return EX_REFUSED;
}

/* All of it through the reader. 0, or an exit code (said). */
static int
read_all(struct restore *r, int fd, const struct ctl_tar_sink *sink)
{
	uint8_t *piece = malloc(PIECE);
	ssize_t n = 1;
	int fed = 0;

	if (piece == NULL || ctl_tar_begin(&r->tar, sink) == -1) {
		free(piece);
		return EX_INTERNAL;
	}
	while (fed == 0 && n != 0 && !ctl_stop_signal) {
		if ((n = read(fd, piece, PIECE)) > 0)
			fed = ctl_tar_feed(&r->tar, piece, (size_t)n);
		else if (n == -1 && errno != EINTR)
			break;
	}
	free(piece);
	if (n == -1 && !ctl_stop_signal)
		ctl_say(r->c, "%s: %s", r->file, strerror(errno));
	if (ctl_tar_end(&r->tar) == 0 && n == 0)
		return 0;
	if (ctl_stop_signal)
		return 128 + ctl_stop_signal;
	if (n == -1)
		return EX_INTERNAL;
	return fed == -1 && r->tar.why[0] == '\0' ? r->folder.failed : not_a_backup(r);
}

static int
with_folder(struct restore *r, int fd)
{
	const struct ctl_tar_sink sink = {
	    restore_folder_begin, restore_folder_data, restore_folder_end, &r->folder};
	int st;

	r->folder.c = r->c;
	if ((st = restore_folder_open(&r->folder, r->path, r->owner, r->group)) == 0 &&
	    (st = read_all(r, fd, &sink)) == 0)
		st = restore_folder_finish(&r->folder, &r->tar);
	restore_folder_close(&r->folder, st != 0);
	return st;
}

/* ---------------------------------------------------------------- what to say */

static int
has_account(const struct ctl_tar *t, const char *name)
{
	char account[ACCOUNT_NAME_MAX + 1];

	for (size_t i = 0; i < t->nmembers; i++)
		if (ctl_tar_account(t->members[i].name, account) != NULL &&
		    strcmp(account, name) == 0)
			return 1;
	return 0;
}

static json_t *
account_list(const struct ctl_tar *t)
{
	char account[ACCOUNT_NAME_MAX + 1];
	json_t *list = json_array();

	for (size_t i = 0; i < t->nmembers; i++)
		if (ctl_tar_account(t->members[i].name, account) != NULL)
			json_array_append_new(list, json_string(account));
	return list;
}

static void
compare_with_config(const struct restore *r)
{
	size_t n = r->config != NULL ? config_account_count(r->config) : 0;

	for (size_t i = 0; i < n; i++)
		if (!has_account(&r->tar, config_account_name(r->config, i)))
			ctl_say(r->c,
			    "the account %s of the config is not in the backup: it will "
			    "have to be linked",
			    config_account_name(r->config, i));
}

static void
put_summary(const struct restore *r)
{
	const struct ctl_tar *t = &r->tar;
	json_t *accounts = account_list(t);
	json_t *all = json_pack("{s:s, s:s, s:I, s:O, s:s*}", "time", t->time, "log_id", t->log_id,
	    "bytes", (json_int_t)t->bytes, "accounts", accounts, "folder", r->path);

	if (!ctl_human(r->c)) {
		ctl_put_json(r->c, all);
	} else {
		fprintf(r->c->out, "a whole backup of %s, %llu bytes; accounts:", t->time,
		    (unsigned long long)t->bytes);
		for (size_t i = 0; i < json_array_size(accounts); i++)
			fprintf(r->c->out, " %s", json_string_value(json_array_get(accounts, i)));
		fputs(json_array_size(accounts) == 0 ? " none\n" : "\n", r->c->out);
	}
	json_decref(all);
	json_decref(accounts);
	if (t->left_out[0] != '\0')
		ctl_say(r->c, "left out of the backup, because not open: %s", t->left_out);
}

static void
put_next(const struct restore *r)
{
	if (r->c->quiet)
		return;
	fprintf(r->c->err,
	    "restored into %s. Before ward is started on it:\n"
	    " - the master key must be the one that was in use when the backup was made, or both\n"
	    "   if keys were being changed then;\n"
	    " - two copies of one account must never both go on: whatever still runs with the\n"
	    "   same accounts has to be stopped for good.\n"
	    "Then each account stays stopped until \"wardctl -a ACCOUNT account resume\", and "
	    "makes\n"
	    "new sessions. Events from after the backup are not in the log, which has another "
	    "name:\n"
	    "consumers go on after what they had acknowledged then, older cursors are refused.\n",
	    r->path);
}

int
ctl_restore(struct ctl *c, int argc, char **argv)
{
	struct restore *r = calloc(1, sizeof(*r));
	int fd = STDIN_FILENO, st;

	if (r == NULL)
		return EX_INTERNAL;
	r->c = c;
	r->owner = (uid_t)-1;
	r->group = (gid_t)-1;
	if ((st = words(r, argc, argv)) == 0 && r->conf != NULL && (st = read_config(r)) == 0)
		st = find_owner(r);
	if (st == 0 && r->path == NULL && !r->check)
		r->path = config_str(r->config, "service", "data");
	if (st == 0 && strcmp(r->file, "-") != 0 &&
	    (fd = open(r->file, O_RDONLY | O_CLOEXEC)) == -1) {
		ctl_say(c, "%s: %s", r->file, strerror(errno));
		st = EX_REFUSED;
	}
	if (st == 0) {
		ctl_catch_signals();
		st = r->check ? read_all(r, fd, NULL) : with_folder(r, fd);
	}
	if (st == 0) {
		put_summary(r);
		compare_with_config(r);
		if (!r->check)
			put_next(r);
	}
	if (fd > STDIN_FILENO)
		close(fd);
	config_free(r->config);
	free(r);
	return st;
}
