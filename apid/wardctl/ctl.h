/* What the files of wardctl share: options, the connection, errors as exit codes. */
#ifndef WARD_CTL_H
#define WARD_CTL_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "apid/rpc/api_table.h"

#define CTL_SOCKET "/run/ward/api.sock"

/* Exit codes beside 1 … 14, which are those of the API's error table with the sign turned. */
#define EX_OK_        0
#define EX_REFUSED    1
#define EX_INTERNAL   2
#define EX_NO_SERVICE 3 /* it does not run, or went away */
#define EX_HUMAN      6
#define EX_DENIED     8
#define EX_CONFLICT   9
#define EX_UNKNOWN    11 /* it may have happened or not */
#define EX_LOCAL      14 /* disk, keys or store */
#define EX_USAGE_     64

enum ctl_format {
	CTL_AUTO,
	CTL_JSON,
	CTL_TABLE
};

struct ctl {
	const char *socket;
	const char *account; /* NULL = not said */
	enum ctl_format format;
	int quiet;
	int64_t timeout_ms; /* of the whole command; 0 = none */
	int64_t deadline;   /* clock_mono_ms, 0 = none */
	/* the connection */
	int fd;
	char *in;
	size_t in_len, in_cap;
	int64_t next_id;
	json_t *hello;  /* what server.hello said */
	json_t *events; /* notifications that came while an answer was awaited */
	FILE *out, *err;
	int out_tty, err_tty;
};

/* Output is for people: a table was asked for, or nothing was and stdout is a terminal. */
int ctl_human(const struct ctl *c);

/* ---- ctl_conn.c */

/* Connect and say hello. 0, or an exit code (said on err). */
int ctl_connect(struct ctl *c);
void ctl_disconnect(struct ctl *c);
/* Send a request (params is taken over, may be NULL); returns its id, or -1 when the service has
 * gone (said). */
int64_t ctl_send(struct ctl *c, const char *method, json_t *params);
/* The same with a descriptor beside it; the caller keeps his own. */
int64_t ctl_send_fd(struct ctl *c, const char *method, json_t *params, int fd);
/* The next message, whichever it is: 0 and *out (owned by the caller), or an exit code (said).
 * wait_ms -1 = until the deadline of the command; *out stays NULL and 0 comes back when wait_ms is
 * over. */
int ctl_next(struct ctl *c, int wait_ms, json_t **out);
/* Ask and wait: 0 and *result (owned by the caller), or an exit code (said). */
int ctl_call(struct ctl *c, const char *method, json_t *params, json_t **result);
/* An error object as text on err and as exit code. */
int ctl_error(struct ctl *c, const json_t *error);
int ctl_exit_code(int64_t code);
/* One line on err: "wardctl: …"; control characters in it are escaped. */
void ctl_say(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A signal asked for the end: set by ctl_catch_signals's handler. */
extern volatile sig_atomic_t ctl_stop_signal;
void ctl_catch_signals(void);

/* ---- ctl_args.c */

/* The method of two words (or a unique beginning of them); "-" counts as "_". NULL with a word on
 * err if there is none or more than one. */
const struct api_method *ctl_find_method(struct ctl *c, const char *noun, const char *verb);
/* Is `word` the word `full`, or a beginning of it? */
int ctl_word_begins(const char *full, const char *word);
/* It sends something and wants an idempotency key: one is made if none is given. */
int ctl_makes_key(const struct api_method *m);
/* Words and --options after the verb -> parameters. 0, or EX_USAGE_ (said). extra (may be NULL) is
 * asked first about each option: it returns 2 if it took it with its value (which may be NULL: then
 * it must not), 1 if it took it alone, 0 if it does not know it. */
typedef int ctl_extra_fn(void *arg, const char *name, const char *value);
int ctl_params(struct ctl *c, const struct api_method *m, int argc, char **argv,
    ctl_extra_fn *extra, void *arg, json_t **out);
/* Text from a stream, at most max bytes, without one final LF. NULL with a word on err. */
char *ctl_read_text(struct ctl *c, FILE *f, size_t max);

/* ---- ctl_out.c */

/* Text from outside on a terminal: control characters, bidi overrides and broken UTF-8 as \x, \u.
 */
void ctl_put_text(FILE *f, const char *text);
void ctl_put_json(struct ctl *c, const json_t *v); /* one line */
/* A result as a table or as JSON lines, by the fields of the method. */
void ctl_put_result(struct ctl *c, const struct api_field *fields, const json_t *result);
/* One event for people: time, account, type, what it says. */
void ctl_put_event(struct ctl *c, const json_t *event);

/* ---- ctl_progress.c */

/* A notification of progress, drawn over the last one where stderr is a terminal. */
void ctl_progress(struct ctl *c, const json_t *notification);
/* What was drawn goes. */
void ctl_progress_clear(struct ctl *c);
/* As ctl_call, for a method that takes a progress_token (which is added). */
int ctl_call_long(struct ctl *c, const char *method, json_t *params, json_t **result);

/* ---- ctl_qr.c */

enum qr_style {
	QR_UTF8,
	QR_ANSI,
	QR_TEXT
};
/* -1 if there is no such style. */
int qr_style_parse(const char *word);
/* Draw `text`: utf8 two modules a character, ansi and text one module two characters. Light modules
 * are drawn, dark ones left out (ansi: both), with a border of 4. colour: force the colours of a
 * dark terminal. Returns the number of lines, or -1 when it does not fit into a QR code. */
int qr_draw(FILE *f, const char *text, enum qr_style style, int colour);
int qr_draw_bytes(FILE *f, const uint8_t *bytes, size_t len, enum qr_style style, int colour);

/* ---- commands with a file of their own; argc and argv are what follows the verb */
int ctl_link(struct ctl *c, int argc, char **argv);
int ctl_answer(struct ctl *c, int argc, char **argv);
int ctl_follow(struct ctl *c, int argc, char **argv);
int ctl_status(struct ctl *c, int argc, char **argv);
int ctl_show(struct ctl *c, int argc, char **argv);
int ctl_rpc(struct ctl *c, int argc, char **argv);
int ctl_message_send(struct ctl *c, int argc, char **argv);
int ctl_metrics(struct ctl *c, int argc, char **argv);
int ctl_backup(struct ctl *c, int argc, char **argv);
int ctl_restore(struct ctl *c, int argc, char **argv);
int ctl_store_check(struct ctl *c, int argc, char **argv);
int ctl_store_snapshot(struct ctl *c, int argc, char **argv);
int ctl_store_stats(struct ctl *c, int argc, char **argv);
int ctl_store_rekey(struct ctl *c, int argc, char **argv);
int ctl_safety_number(struct ctl *c, int argc, char **argv);
int ctl_help(struct ctl *c, int argc, char **argv);
int ctl_completion(struct ctl *c, int argc, char **argv);

/* ---- ctl_command.c */

/* Commands that are more than a method: in the order of the help. */
struct ctl_command {
	const char *noun, *verb; /* verb NULL = one word */
	const char *args, *doc;
	int (*run)(struct ctl *, int argc, char **argv);
	int offline; /* needs no service, or connects when it has read its arguments */
};
extern const struct ctl_command ctl_commands[];
extern const size_t ctl_ncommands;
/* Run the words after the options. Returns the exit code. */
int ctl_run(struct ctl *c, int argc, char **argv);

#endif
