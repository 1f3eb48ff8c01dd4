/* wardctl backup: what the service writes into a pipe goes to a file or to standard output.
 *
 * A pipe of our own: the service must not wait for a slow disk or a file system elsewhere, and its
 * flags are nobody else's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apid/wardctl/ctl.h"

#define PIECE (256u * 1024)

struct backup {
	struct ctl *c;
	const char *file; /* NULL = standard output */
	int in, out;
	size_t at_once; /* what may be written without waiting where poll says so */
	int64_t id;
	json_t *result;
	int64_t bytes;
	uint8_t *piece;
};

static int
write_failed(struct backup *b)
{
	const char *name = b->file != NULL ? b->file : "standard output";

	ctl_say(b->c, "%s: %s", name, strerror(errno));
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EROFS ? EX_LOCAL
										      : EX_REFUSED;
}

/* All of it out; a signal ends the waiting. 0, or an exit code (said). */
static int
write_out(struct backup *b, const uint8_t *p, size_t n)
{
	while (n > 0) {
		struct pollfd out = {.fd = b->out, .events = POLLOUT};
		ssize_t put = 0;

		if (ctl_stop_signal)
			return 128 + ctl_stop_signal;
		if (poll(&out, 1, 1000) > 0)
			put = write(b->out, p, n < b->at_once ? n : b->at_once);
		if (put == -1 && errno != EINTR && errno != EAGAIN)
			return write_failed(b);
		p += put > 0 ? put : 0;
		n -= put > 0 ? (size_t)put : 0;
	}
	return 0;
}

/* What is in the pipe goes out. 0, or an exit code (said); the pipe is closed at its end. */
static int
copy_some(struct backup *b)
{
	ssize_t n = read(b->in, b->piece, PIECE);

	if (n == -1 && errno == EINTR)
		return 0;
	if (n == -1)
		return write_failed(b);
	if (n == 0) {
		close(b->in);
		b->in = -1;
		return 0;
	}
	b->bytes += n;
	return write_out(b, b->piece, (size_t)n);
}

/* What the service says: its progress, its answer. 0, or an exit code (said). */
static int
listen_to_service(struct backup *b)
{
	json_t *v = NULL;
	int r;

	while ((r = ctl_next(b->c, 0, &v)) == 0 && v != NULL) {
		if (json_object_get(v, "method") != NULL) {
			ctl_progress(b->c, v);
		} else {
			ctl_progress_clear(b->c);
			b->result = json_incref(json_object_get(v, "result"));
			if (b->result == NULL)
				r = ctl_error(b->c, json_object_get(v, "error"));
		}
		json_decref(v);
		if (r != 0 || b->result != NULL)
			return r;
	}
	return r;
}

/* Until there is the answer and the pipe has come to its end. */
static int
pump(struct backup *b)
{
	while (b->in != -1 || b->result == NULL) {
		struct pollfd p[2] = {{.fd = b->in, .events = POLLIN},
		    {.fd = b->result == NULL ? b->c->fd : -1, .events = POLLIN}};
		int r = poll(p, 2, 1000); /* then look at the time */

		if (ctl_stop_signal)
			return 128 + ctl_stop_signal;
		if (r == -1 && errno != EINTR)
			return EX_INTERNAL;
		if (r > 0 && p[0].revents != 0 && (r = copy_some(b)) != 0)
			return r;
		if (b->result == NULL && (r = listen_to_service(b)) != 0)
			return r;
	}
	if (json_integer_value(json_object_get(b->result, "bytes")) == b->bytes)
		return 0;
	ctl_say(b->c, "the backup was cut short");
	return EX_INTERNAL;
}

static int
begin(struct backup *b)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) == -1) {
		ctl_say(b->c, "pipe: %s", strerror(errno));
		return EX_INTERNAL;
	}
	(void)fcntl(pair[0], F_SETPIPE_SZ, (int)PIECE * 4); /* a small one is only slower */
	b->in = pair[0];
	b->id = ctl_send_fd(
	    b->c, "store.backup", json_pack("{s:i, s:i}", "fd", 0, "progress_token", 1), pair[1]);
	close(pair[1]);
	if (b->id != -1)
		return 0;
	ctl_say(b->c, "the request could not be sent");
	return EX_NO_SERVICE;
}

/* The file and its name are on the disk. */
static int
make_durable(struct backup *b)
{
	char folder[4096];
	const char *slash = b->file != NULL ? strrchr(b->file, '/') : NULL;
	int fd;

	if (fsync(b->out) == -1 && (b->file != NULL || (errno != EINVAL && errno != EROFS)))
		return write_failed(b);
	if (b->file == NULL)
		return 0;
	if (close(b->out) == -1)
		return write_failed(b);
	b->out = -1;
	(void)snprintf(folder, sizeof(folder), "%.*s",
	    slash == NULL ? 1 : (int)(slash - b->file + 1), slash == NULL ? "." : b->file);
	if ((fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return 0; /* not ours to read: the file itself is there */
	(void)fsync(fd);
	close(fd);
	return 0;
}

static int
may_bring_descriptors(struct ctl *c)
{
	const json_t *features = json_object_get(c->hello, "features");

	for (size_t i = 0; i < json_array_size(features); i++)
		if (json_is_string(json_array_get(features, i)) &&
		    strcmp(json_string_value(json_array_get(features, i)), "fd") == 0)
			return 1;
	ctl_say(c, "this user may not make backups: it needs the role admin");
	return 0;
}

static int
open_target(struct backup *b, const char *name)
{
	b->out = STDOUT_FILENO;
	if (strcmp(name, "-") == 0) {
		if (!isatty(STDOUT_FILENO))
			return 0;
		ctl_say(b->c, "a backup is nothing for a terminal: name a file, or redirect");
		return EX_USAGE_;
	}
	b->file = name;
	b->out = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b->out != -1)
		return 0;
	if (errno == EEXIST) {
		ctl_say(b->c, "%s is there already, and a backup replaces nothing", name);
		return EX_CONFLICT;
	}
	return write_failed(b);
}

static int
run(struct backup *b, const char *name)
{
	struct stat st;
	int r = ctl_connect(b->c);

	if (r != 0)
		return r;
	if (!may_bring_descriptors(b->c))
		return EX_DENIED;
	if ((r = open_target(b, name)) != 0)
		return r;
	b->at_once = fstat(b->out, &st) == 0 && S_ISREG(st.st_mode) ? PIECE : PIPE_BUF;
	ctl_catch_signals();
	if ((r = begin(b)) == 0 && (r = pump(b)) == 0)
		r = make_durable(b);
	ctl_progress_clear(b->c);
	if (r != 0 && b->file != NULL && unlink(b->file) == -1)
		ctl_say(b->c, "%s: half a backup is left: %s", b->file, strerror(errno));
	return r;
}

int
ctl_backup(struct ctl *c, int argc, char **argv)
{
	struct backup b = {.c = c, .in = -1, .out = -1};
	const char *left_out;
	int r;

	if (argc != 1 || (argv[0][0] == '-' && argv[0][1] != '\0')) {
		ctl_say(c, "usage: wardctl backup FILE|-");
		return EX_USAGE_;
	}
	if ((b.piece = malloc(PIECE)) == NULL)
		return EX_INTERNAL;
	r = run(&b, argv[0]);
	left_out = json_string_value(json_object_get(b.result, "text"));
	if (r == 0 && left_out != NULL)
		ctl_say(c, "%s", left_out);
	if (r == 0 && !c->quiet)
		fprintf(c->err, "backup of %lld bytes\n", (long long)b.bytes);
	if (b.in != -1)
		close(b.in);
	if (b.out != -1 && b.file != NULL)
		close(b.out);
	json_decref(b.result);
	free(b.piece);
	return r;
}
