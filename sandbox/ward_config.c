/* The config file with the file of client data, and the users that it names. */
#include "sandbox/ward.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#define CONF_MAX (1024u * 1024)

/* The whole file, or -1 with a message. */
static int
read_file(const char *path, struct buf *out, char *err, size_t size)
{
	struct stat st;
	uint8_t *p;
	ssize_t n;
	int fd, rc = -1;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) == -1) {
		snprintf(err, size, "%s: %s", path, strerror(errno));
		return (-1);
	}
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size > (off_t)CONF_MAX) {
		snprintf(err, size, "%s: not a file of at most 1 MiB", path);
		goto done;
	}
	/* who may change it decides where everything lives */
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		snprintf(err, size,
		    "%s: must belong to root or to you and be writable by nobody else", path);
		goto done;
	}
	do {
		if ((p = buf_reserve(out, 4096)) == NULL) {
			snprintf(err, size, "%s: too long", path);
			goto done;
		}
		if ((n = read(fd, p, 4096)) == -1) {
			snprintf(err, size, "%s: %s", path, strerror(errno));
			goto done;
		}
		out->len -= 4096 - (size_t)n;
	} while (n > 0);
	rc = 0;
done:
	close(fd);
	return (rc);
}

/* The file of client data, if there is one. 0, or -1 with a message. */
static int
load_client(struct config *c, char *err, size_t size)
{
	const char *path = config_str(c, "service", "client_data");
	struct buf text = BUF_INIT;
	int rc = 0;

	if (access(path, F_OK) == -1 && errno == ENOENT)
		return (0);
	text.max = CONF_MAX + 8192;
	if ((rc = read_file(path, &text, err, size)) == 0)
		rc = config_add_client(
		    c, path, text.data != NULL ? (const char *)text.data : "", text.len, err, size);
	buf_clear(&text);
	return (rc);
}

static struct config *
load(const char *path, char *err, size_t size)
{
	struct buf text = BUF_INIT;
	struct config *c = NULL;

	text.max = CONF_MAX + 8192;
	if (read_file(path, &text, err, size) == 0)
		c = config_parse(
		    path, text.data != NULL ? (const char *)text.data : "", text.len, err, size);
	buf_clear(&text);
	if (c != NULL && load_client(c, err, size) == -1) {
		config_free(c);
		c = NULL;
	}
	return (c);
}

int
ward_load_config(struct ward *w, int check_only, int verbose)
{
	char err[512] = "";
	int level;

	if ((w->config = load(w->conf_path, err, sizeof(err))) == NULL) {
		if (!check_only)
			fatalx("%s", err);
		fprintf(stderr, "%s\n", err);
		return (-1);
	}
	level = verbose ? LOG_LV_DEBUG : log_level_parse(config_str(w->config, "log", "level"));
	w->level = level >= 0 ? (unsigned)level : LOG_LV_INFO;
	w->unconfined = config_bool(w->config, "service", "developer_unconfined");
	w->landlock_optional =
	    strcmp(config_str(w->config, "service", "landlock"), "optional") == 0;
	w->noise_override = config_str(w->config, "test", "noise_root_key")[0] != '\0';
	return (0);
}

/* A user by name or number: its uid and group. */
static void
resolve_user(const char *key, const char *text, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw;
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9') {
		if (*end != '\0' || errno != 0 || n > 0xfffffffeul)
			fatalx("%s: %s is no user id", key, text);
		pw = getpwuid((uid_t)n);
		*uid = (uid_t)n;
		*gid = pw != NULL ? pw->pw_gid : (gid_t)n;
	} else {
		if ((pw = getpwnam(text)) == NULL)
			fatalx("%s: there is no user %s (packaging/ward.sysusers makes them)", key,
			    text);
		*uid = pw->pw_uid;
		*gid = pw->pw_gid;
	}
	if (*uid == 0 || *gid == 0)
		fatalx("%s: %s is root", key, text);
}

void
ward_resolve_users(struct ward *w)
{
	int r, q;
	char key[32];
	const char *text;

	w->as_root = geteuid() == 0;
	w->uid[ROLE_WARD] = geteuid();
	w->gid[ROLE_WARD] = getegid();
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		w->uid[r] = geteuid();
		w->gid[r] = getegid();
	}
	if (!w->as_root || w->unconfined) {
		w->as_root = 0;
		if (!w->unconfined)
			log_notice("not started as root: all five processes run as uid %u; the "
				   "walls between them are seccomp and Landlock alone",
			    (unsigned)geteuid());
		return;
	}
	for (r = ROLE_KEYD; r < ROLE_COUNT; r++) {
		snprintf(key, sizeof(key), "user_%s", role_name((enum ward_role)r));
		text = config_str(w->config, "service", key);
		resolve_user(key, text, &w->uid[r], &w->gid[r]);
		for (q = ROLE_KEYD; q < r; q++) {
			if (w->uid[q] == w->uid[r])
				fatalx("%s: user_%s and user_%s are the same uid %u; each process "
				       "needs its own",
				    w->conf_path, role_name((enum ward_role)q),
				    role_name((enum ward_role)r), (unsigned)w->uid[r]);
		}
	}
}
