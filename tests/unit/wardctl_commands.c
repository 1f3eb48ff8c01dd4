/* wardctl: words to methods and parameters, exit codes, output, against a service that follows a
 * script in a process of its own. */
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "apid/wardctl/ctl.h"
#include "tests/unit/slow.h"

/* ------------------------------------------------------------------ a service by script */

/* Each step: wait for a line that holds `expect` (NULL = wait for none), then write `say`, in which
 * %ID stands for the id of that line. */
struct step {
	const char *expect, *say;
};
#define HELLO                                                                                      \
	{                                                                                          \
		"\"server.hello\"", "{\"jsonrpc\":\"2.0\",\"id\":%ID,\"result\":{\"protocol\":1,"  \
				    "\"accounts\":[\"ops\"]}}\n"                                   \
	}
#define RESULT(what) "{\"jsonrpc\":\"2.0\",\"id\":%ID,\"result\":" what "}\n"
#define ERROR(code, reason)                                                                        \
	"{\"jsonrpc\":\"2.0\",\"id\":%ID,\"error\":{\"code\":" #code                               \
	",\"message\":\"no\",\"data\":{\"reason\":\"" reason "\",\"retryable\":false}}}\n"
#define EVENT(cursor, event)                                                                       \
	"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"subscription\":\"s1\","           \
	"\"cursor\":\"" cursor "\",\"event\":" event "}}\n"

static char dir[64], path[96];

static int
read_line(FILE *f, char *line, size_t size)
{
	return fgets(line, (int)size, f) != NULL ? 0 : -1;
}

/* Exit status 0 if all went by the script. */
static int
serve(int listener, const struct step *steps)
{
	int fd = accept(listener, NULL, NULL);
	FILE *in = fdopen(fd, "r");
	char line[65536];

	for (; steps->expect != NULL || steps->say != NULL; steps++) {
		const char *id, *mark;

		if (steps->expect != NULL && (read_line(in, line, sizeof(line)) == -1 ||
						 strstr(line, steps->expect) == NULL)) {
			if (strcmp(steps->expect, "never") != 0)
				fprintf(stderr, "expected %s, got %s\n", steps->expect, line);
			return 1;
		}
		if (steps->say == NULL)
			continue;
		id = strstr(line, "\"id\":") + 5;
		if ((mark = strstr(steps->say, "%ID")) != NULL) {
			if (dprintf(fd, "%.*s%.*s", (int)(mark - steps->say), steps->say,
				(int)strspn(id, "0123456789"), id) < 0)
				return 2;
			mark += 3;
		}
		if (dprintf(fd, "%s", mark != NULL ? mark : steps->say) < 0)
			return 2;
	}
	fclose(in);
	return 0;
}

static int listener = -1;

static pid_t
start(const struct step *steps)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	pid_t pid;

	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(listener, 5), 0);
	if ((pid = fork()) == 0) {
		alarm(30 * test_slow());
		_exit(serve(listener, steps));
	}
	close(listener);
	return pid;
}

struct run {
	int code;
	char *out, *err;
};

/* Run words (split at spaces; _ in a word stands for a space). */
static struct run
run_words(struct ctl *c, const char *words)
{
	struct run r = {0};
	char copy[1024], *argv[64], *save = NULL;
	size_t out_len, err_len;
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
		for (char *p = w; *p != '\0'; p++)
			if (*p == '~')
				*p = ' ';
		argv[argc++] = w;
	}
	c->fd = -1;
	c->socket = path;
	c->out = open_memstream(&r.out, &out_len);
	c->err = open_memstream(&r.err, &err_len);
	r.code = ctl_run(c, argc, argv);
	fclose(c->out);
	fclose(c->err);
	ctl_disconnect(c);
	return r;
}

static void
run_free(struct run *r)
{
	free(r->out);
	free(r->err);
}

static struct run
run_against(const struct step *steps, struct ctl *c, const char *words)
{
	pid_t pid = start(steps);
	struct run r = run_words(c, words);
	int status;

	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s: the script was not followed; wardctl said: %s", words, r.err);
	return r;
}

/* ------------------------------------------------------------------ words */

static void
words_to_requests(void **state)
{
	static const struct {
		const char *words, *expect;
	} rows[] = {
	    {"account list", "\"method\":\"account.list\""},
	    {"acc li", NULL}, /* list, link: not clear */
	    {"acc lis", "\"method\":\"account.list\""},
	    {"server version", "\"method\":\"server.version\""},
	    {"ser v", "\"method\":\"server.version\""},
	    {"account state", "\"method\":\"account.state\",\"params\":{}}"},
	    {"events fetch cron --limit 5 --wait-ms=10 --types message.* --types x --steal",
		"\"params\":{\"consumer\":\"cron\",\"limit\":5,\"wait_ms\":10,\"filter\":{"
		"\"types\":["
		"\"message.*\",\"x\"]},\"steal\":true}"},
	    {"events ack c --cursor 1.a.2", "\"params\":{\"consumer\":\"c\",\"cursor\":\"1.a.2\"}"},
	    {"chat mark-read u_x A B",
		"\"params\":{\"chat\":\"u_x\",\"message_ids\":[\"A\",\"B\"]}"},
	    {"chat mark_read u_x A", "\"method\":\"chat.mark_read\""},
	    {"message state k1", "\"params\":{\"idempotency_key\":\"k1\"}"},
	    {"message send +49 hello~big world --idempotency-key k --wait delivered",
		"\"params\":{\"to\":\"+49\",\"text\":\"hello big world\",\"idempotency_key\":\"k\","
		"\"wait\":\"delivered\"}"},
	    {"message send +49 -- --wait", "\"text\":\"--wait\""},
	    {"rpc server.x {\"a\":[1]}", "\"method\":\"server.x\",\"params\":{\"a\":[1]}}"},
	    {"no such", NULL},
	    {"account nosuch", NULL},
	    {"account", NULL},
	    {"account list extra", NULL},
	    {"account list --nosuch 1", NULL},
	    {"events fetch", NULL},
	    {"events fetch c --limit 5x", NULL},
	    {"events fetch c --limit 0", NULL},
	    {"events fetch c --limit", NULL},
	    {"events ack c", NULL},
	    {"message send +49", NULL},
	    {"message send +49 x --wait for", NULL},
	    {"rpc", NULL},
	    {"rpc x {bad", NULL},
	    {"show nothing", NULL},
	    {"completion fish", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl c = {.format = CTL_JSON};
		const struct step steps[] = {HELLO, {rows[i].expect, RESULT("{}")}, {NULL, NULL}};
		const struct step only_hello[] = {HELLO, {NULL, NULL}};
		struct run r;
		int own =
		    strncmp(rows[i].words, "rpc", 3) == 0 || strncmp(rows[i].words, "show", 4) == 0;

		if (rows[i].expect != NULL)
			r = run_against(steps, &c, rows[i].words);
		else if (own) /* looks at its words when it is connected */
			r = run_against(only_hello, &c, rows[i].words);
		else
			r = run_words(&c, rows[i].words);
		if (r.code != (rows[i].expect != NULL ? 0 : EX_USAGE_))
			fail_msg("%s: %d %s", rows[i].words, r.code, r.err);
		if (rows[i].expect == NULL)
			assert_true(strncmp(r.err, "wardctl: ", 9) == 0);
		run_free(&r);
	}
}

static void
the_account(void **state)
{
	const struct step steps[] = {
	    HELLO, {"\"params\":{\"account\":\"lab\"}", RESULT("{}")}, {NULL, NULL}};
	struct ctl c = {.format = CTL_JSON, .account = "lab"};
	struct run r = run_against(steps, &c, "account state");

	assert_int_equal(r.code, 0);
	run_free(&r);
}

/* A key is made, and another one each time. */
static void
a_key_is_made(void **state)
{
	const struct step steps[] = {
	    HELLO, {"\"idempotency_key\":\"", ERROR(-11, "outcome_unknown")}, {NULL, NULL}};
	char first[64] = "";

	for (int i = 0; i < 2; i++) {
		struct ctl c = {.format = CTL_JSON};
		struct run r = run_against(steps, &c, "message send +49 hi");
		const char *key = strstr(r.err, "--idempotency-key ");

		assert_int_equal(r.code, EX_UNKNOWN);
		assert_non_null(key); /* it is said, so that the same can be tried again */
		assert_int_equal(strspn(key + 18, "0123456789abcdef"), 32);
		assert_string_not_equal(first, key);
		snprintf(first, sizeof(first), "%s", key);
		run_free(&r);
	}
}

/* ------------------------------------------------------------------ exit codes */

static void
exit_codes(void **state)
{
	static const struct {
		int64_t code;
		int exit;
	} rows[] = {{-1, 1}, {-2, 2}, {-3, 3}, {-8, 8}, {-11, 11}, {-14, 14}, {-32700, 64},
	    {-32600, 64}, {-32601, 64}, {-32602, 64}, {-32603, 2}, {-15, 2}, {5, 2}, {0, 2}};
	const struct step denied[] = {
	    HELLO, {"account.list", ERROR(-8, "role_denied")}, {NULL, NULL}};
	const struct step gone[] = {HELLO, {"account.list", NULL}, {NULL, NULL}};
	const struct step other[] = {{"server.hello", ERROR(-1, "unsupported")}, {NULL, NULL}};
	const struct step full[] = {
	    {"server.hello", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-5,\"message\":"
			     "\"too many\",\"data\":{\"reason\":\"overloaded\"}}}\n"},
	    {NULL, NULL}};
	struct ctl c = {.format = CTL_JSON};
	struct run r;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(ctl_exit_code(rows[i].code), rows[i].exit);
	unlink(path);
	r = run_words(&c, "account list");
	assert_int_equal(r.code, EX_NO_SERVICE);
	assert_non_null(strstr(r.err, "ward doesn't seem to be running"));
	run_free(&r);
	r = run_against(denied, &c, "account list");
	assert_int_equal(r.code, EX_DENIED);
	assert_non_null(strstr(r.err, "role_denied"));
	run_free(&r);
	r = run_against(gone, &c, "account list");
	assert_int_equal(r.code, EX_NO_SERVICE);
	run_free(&r);
	r = run_against(other, &c, "account list");
	assert_non_null(strstr(r.err, "incompatible"));
	assert_int_equal(r.code, 1);
	run_free(&r);
	r = run_against(full, &c, "account list");
	assert_int_equal(r.code, 5);
	run_free(&r);
}

static void
time_limit(void **state)
{
	const struct step silent[] = {HELLO, {"account.list", NULL}, {"never", NULL}, {NULL, NULL}};
	struct ctl c = {.format = CTL_JSON, .timeout_ms = 100};
	pid_t pid = start(silent);
	struct run r = run_words(&c, "account list");

	waitpid(pid, NULL, 0);
	assert_int_equal(r.code, EX_NO_SERVICE); /* it only asked: nothing can have happened */
	assert_non_null(strstr(r.err, "no answer in time"));
	run_free(&r);
}

/* ------------------------------------------------------------------ output */

static char *
text_of(const char *in)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	ctl_put_text(f, in);
	fclose(f);
	return out;
}

static void
terminals_are_safe(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"plain", "plain"},
	    {"h\xc3\xa9 \xf0\x9f\x98\x80", "h\xc3\xa9 \xf0\x9f\x98\x80"},
	    {"\033[2J\a", "\\x1b[2J\\x07"},
	    {"a\nb\tc\r", "a\\nb\\tc\\x0d"},
	    {"\x7f", "\\x7f"},
	    {"\xc2\x9b"
	     "31m",
		"\\u009b31m"}, /* CSI of the other alphabet */
	    {"\xe2\x80\xae"
	     "abc",
		"\\u202e"
		"abc"}, /* right-to-left override */
	    {"\xff\xc0\xaf\xed\xa0\x80", "\\xff\\xc0\\xaf\\xed\\xa0\\x80"},
	    {"\xe2\x82", "\\xe2\\x82"},
	    {"\\x1b", "\\\\x1b"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out = text_of(rows[i].in);

		assert_string_equal(out, rows[i].out);
		free(out);
	}
}

static void
tables_and_lines(void **state)
{
	const struct step steps[] = {HELLO,
	    {"account.list",
		RESULT("{\"accounts\":[{\"account\":\"ops\",\"state\":\"online\",\"jid\":null},"
		       "{\"account\":\"l\\u001bb\",\"state\":\"unlinked\",\"jid\":null}]}")},
	    {NULL, NULL}};
	struct ctl c = {.format = CTL_JSON};
	struct run r = run_against(steps, &c, "account list");

	assert_string_equal(r.out,
	    "{\"account\":\"ops\",\"state\":\"online\",\"jid\":null}\n"
	    "{\"account\":\"l\\u001Bb\",\"state\":\"unlinked\",\"jid\":null}\n");
	run_free(&r);
	c.format = CTL_TABLE;
	r = run_against(steps, &c, "account list");
	assert_string_equal(r.out, "account  state\n"
				   "ops      online\n"
				   "l\\x1bb   unlinked\n");
	run_free(&r);
}

static void
status_screen(void **state)
{
	const struct step steps[] = {HELLO, {"server.version", RESULT("{\"server\":\"ward/9\"}")},
	    {"server.health", RESULT("{\"status\":\"degraded\",\"warnings\":[\"unconfined\"],"
				     "\"checks\":[{\"name\":\"sandbox\",\"status\":"
				     "\"degraded\",\"reason\":\"developer_unconfined\"}]}")},
	    {"account.list", RESULT("{\"accounts\":[{\"account\":\"ops\",\"state\":\"online\"}]}")},
	    {NULL, NULL}};
	struct ctl c = {.format = CTL_TABLE};
	struct run r = run_against(steps, &c, "status");

	assert_int_equal(r.code, 0);
	assert_string_equal(r.out,
	    "ward/9 is degraded\nWARNING: the processes are NOT CONFINED (developer_unconfined)\n  "
	    "sandbox: degraded (developer_unconfined)\n\n"
	    "account  state\nops      online\n");
	run_free(&r);
}

static void
sandbox(void **state)
{
	const struct step steps[] = {HELLO,
	    {"server.sandbox",
		RESULT("{\"processes\":{\"keyd\":{\"uid\":\"7\",\"fd\":[\"3\",\"4\"]}}}")},
	    {NULL, NULL}};
	struct ctl c = {.format = CTL_TABLE};
	struct run r = run_against(steps, &c, "show sandbox");

	assert_string_equal(r.out, "keyd\n  uid              7\n  fd               3\n"
				   "                   4\n");
	run_free(&r);
}

#define PROGRESS(done)                                                                             \
	"{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"token\":1,\"done\":" #done     \
	",\"total\":200,\"unit\":\"rows\"}}\n"

static void
store_commands(void **state)
{
	const struct step check[] = {HELLO,
	    {"\"store.check\",\"params\":{\"progress_token\":1}}", PROGRESS(50)},
	    {NULL, PROGRESS(100)}, {NULL, RESULT("{\"rows\":200,\"text\":\"all \\u001bread\"}")},
	    {NULL, NULL}};
	const struct step damaged[] = {
	    HELLO, {"store.check", ERROR(-2, "store_corrupt")}, {NULL, NULL}};
	const struct step snapshot[] = {HELLO,
	    {"\"name\":\"x-1\"", RESULT("{\"bytes\":7,\"text\":\"snapshot-*\"}")}, {NULL, NULL}};
	const struct step stats[] = {HELLO,
	    {"\"params\":{\"tables\":true}", RESULT("{\"units\":5,\"tables\":[{\"account\":\"ops\","
						    "\"table\":\"event\",\"rows\":9}]}")},
	    {NULL, NULL}};
	const struct step no_role[] = {HELLO, {NULL, NULL}};
	struct ctl c = {.format = CTL_TABLE, .err_tty = 1};
	struct run r = run_against(check, &c, "store check");

	assert_int_equal(r.code, 0);
	assert_string_equal(r.out, "all \\x1bread\n");
	assert_non_null(strstr(r.err, "\r 25%  50 of 200 rows\033[K"));
	assert_string_equal(r.err + strlen(r.err) - 4, "\r\033[K"); /* nothing of it stays */
	run_free(&r);
	c.err_tty = 0;
	r = run_against(check, &c, "store check");
	assert_string_equal(r.err, "");
	run_free(&r);
	r = run_against(damaged, &c, "store check");
	assert_int_equal(r.code, EX_INTERNAL);
	assert_non_null(strstr(r.err, "restore the last backup"));
	run_free(&r);
	r = run_against(snapshot, &c, "store snapshot x-1");
	assert_string_equal(r.out, "snapshot-*\n");
	run_free(&r);
	r = run_against(stats, &c, "store stats --tables");
	assert_string_equal(r.out, "units: 5\naccount  table  rows\nops      event  9\n");
	run_free(&r);
	c.format = CTL_JSON;
	r = run_against(stats, &c, "store stats --tables"); /* one object, not only its list */
	assert_int_equal(strncmp(r.out, "{\"units\":5,\"tables\":[", 21), 0);
	run_free(&r);
	r = run_against(no_role, &c, "backup /nonexistent/file");
	assert_int_equal(r.code, EX_DENIED); /* the feature was not agreed on */
	run_free(&r);
}

static void
help_and_completion(void **state)
{
	struct ctl c = {.format = CTL_AUTO};
	struct run r = run_words(&c, "help");

	assert_int_equal(r.code, 0);
	for (size_t i = 0; i < ctl_ncommands; i++)
		assert_non_null(strstr(r.out, ctl_commands[i].doc));
	for (size_t i = 0; i < api_nmethods; i++)
		if (strcmp(api_methods[i].name, "account.list") == 0)
			assert_non_null(strstr(r.out, api_methods[i].doc));
	run_free(&r);
	r = run_words(&c, "help message state");
	assert_non_null(strstr(r.out, "idempotency_key"));
	run_free(&r);
	r = run_words(&c, "completion bash");
	assert_non_null(strstr(r.out, "complete -F _wardctl wardctl\n"));
	assert_non_null(strstr(r.out, "\tevents) words=\"subscribe "));
	assert_non_null(strstr(r.out, "follow"));
	run_free(&r);
}

/* ------------------------------------------------------------------ follow */

#define MESSAGE(n)                                                                                 \
	EVENT("1.a." #n,                                                                           \
	    "{\"type\":\"message.received\",\"account\":\"ops\",\"seq\":" #n                       \
	    ",\"body\":{\"message\":{\"sender\":{\"push_name\":\"Eve\"},\"content\":{"             \
	    "\"kind\":\"text\",\"text\":\"\\u001b[31mhi\"}}}}")

static void
follow_acknowledges(void **state)
{
	const struct step steps[] = {HELLO,
	    {"\"events.subscribe\",\"params\":{\"consumer\":\"crm\",\"filter\":{\"types\":["
	     "\"message.*\"]}}",
		MESSAGE(1)}, /* comes even before the answer */
	    {NULL, RESULT("{\"subscription\":\"s1\",\"cursor\":\"1.a.0\",\"lag\":2}")},
	    {"\"events.ack\",\"params\":{\"consumer\":\"crm\",\"cursor\":\"1.a.1\"}",
		RESULT("{\"ok\":true}")},
	    {NULL, MESSAGE(2)}, {"\"cursor\":\"1.a.2\"", RESULT("{\"ok\":true}")}, {NULL, NULL}};
	struct ctl c = {.format = CTL_JSON};
	struct run r = run_against(steps, &c, "events follow crm --types message.* --count 2");

	assert_int_equal(r.code, 0);
	assert_int_equal(strncmp(r.out, "{\"type\":\"message.received\"", 26), 0);
	assert_non_null(strstr(r.out, "\"seq\":2"));
	run_free(&r);
	c.format = CTL_TABLE;
	r = run_against(steps, &c, "events follow crm --types message.* --count 2");
	assert_non_null(strstr(r.out, "ops  message.received  Eve: \\x1b[31mhi\n"));
	assert_null(strchr(r.out, '\033'));
	run_free(&r);
}

static void
follow_exec(void **state)
{
	const struct step good[] = {HELLO, {"events.subscribe", RESULT("{}")}, {NULL, MESSAGE(1)},
	    {"1.a.1", RESULT("{\"ok\":true}")}, {NULL, NULL}};
	const struct step bad[] = {
	    HELLO, {"events.subscribe", RESULT("{}")}, {NULL, MESSAGE(1)}, {NULL, NULL}};
	struct ctl c = {.format = CTL_JSON};
	struct run r = run_against(good, &c, "events follow c --exec grep~-q~Eve --count 1");

	assert_int_equal(r.code, 0);
	run_free(&r);
	r = run_against(bad, &c, "events follow c --exec grep~-q~Mallory");
	assert_int_equal(r.code, EX_REFUSED);
	assert_non_null(strstr(r.err, "not acknowledged"));
	run_free(&r);
}

static void
follow_ends(void **state)
{
	const struct step stolen[] = {HELLO, {"events.subscribe", RESULT("{}")},
	    {NULL, EVENT("x",
		       "{\"type\":\"events.closed\",\"body\":{\"subscription\":\"s1\",\"reason\":"
		       "\"stolen\"}}")},
	    {NULL, NULL}};
	const struct step gone[] = {HELLO, {"events.subscribe", RESULT("{}")}, {NULL, NULL}};
	struct ctl c = {.format = CTL_JSON};
	struct run r = run_against(stolen, &c, "events follow c");

	assert_int_equal(r.code, 9);
	run_free(&r);
	r = run_against(gone, &c, "events follow");
	assert_int_equal(r.code, EX_NO_SERVICE);
	run_free(&r);
}

/* ------------------------------------------------------------------ link */

#define LINK(body) EVENT("", "{\"type\":\"account.link\",\"account\":\"ops\",\"body\":" body "}")
#define LISTEN                                                                                     \
	{                                                                                          \
		"\"filter\":{\"types\":[\"account.*\"],\"accounts\":[\"ops\"]}", RESULT("{}")      \
	}

static void
link_by_qr(void **state)
{
	const struct step steps[] = {HELLO, LISTEN,
	    {"\"account.link\",\"params\":{}", RESULT("{\"link_id\":\"l1\"}")},
	    {NULL, LINK("{\"step\":\"qr\",\"text\":\"2@first,code\"}")},
	    {NULL, LINK("{\"step\":\"qr\",\"text\":\"2@second,code\"}")},
	    {NULL, EVENT("1.a.7", "{\"type\":\"account.linked\",\"account\":\"ops\",\"body\":{}}")},
	    {NULL, NULL}};
	struct ctl c = {.format = CTL_AUTO};
	struct run r = run_against(steps, &c, "account link --qr=text"), again;
	char *drawing = NULL;
	size_t len;
	FILE *f = open_memstream(&drawing, &len);

	assert_int_equal(r.code, 0);
	assert_true(qr_draw(f, "2@first,code", QR_TEXT, 0) > 0);
	fclose(f);
	assert_non_null(strstr(r.out, drawing));
	free(drawing);
	assert_non_null(strstr(r.out, "ops is linked.\n"));
	assert_null(strchr(r.out, '\033')); /* not on a terminal: nothing is drawn over */
	run_free(&r);
	c.out_tty = 1;
	again = run_against(steps, &c, "account link --qr ansi");
	assert_non_null(strstr(again.out, "A\033[J")); /* the second over the first */
	run_free(&again);
	c.out_tty = 0;
	again = run_against(steps, &c, "account link"); /* for programs: the events */
	assert_non_null(
	    strstr(again.out, "{\"type\":\"account.link\",\"account\":\"ops\",\"body\":{\"step\":"
			      "\"qr\",\"text\":\"2@first,code\"}}\n"));
	run_free(&again);
}

static void
link_by_code(void **state)
{
	const struct step steps[] = {HELLO, LISTEN,
	    {"\"account.link\",\"params\":{\"phone\":\"+4915\"}", RESULT("{\"link_id\":\"l1\"}")},
	    {NULL, LINK("{\"step\":\"code\",\"text\":\"ABCD1234\"}")},
	    {NULL, LINK("{\"step\":\"expired\"}")}, {NULL, NULL}};
	struct ctl c = {.format = CTL_TABLE};
	struct run r = run_against(steps, &c, "account link --phone +4915");

	assert_int_equal(r.code, EX_HUMAN);
	assert_non_null(strstr(r.out, "\n    ABCD-1234\n"));
	assert_non_null(strstr(r.err, "nobody scanned in time"));
	run_free(&r);
}

static void
link_refused(void **state)
{
	const struct step steps[] = {
	    HELLO, LISTEN, {"account.link", ERROR(-9, "exists")}, {NULL, NULL}};
	const struct step failed[] = {HELLO, LISTEN, {"account.link", RESULT("{}")},
	    {NULL, EVENT("1.a.1", "{\"type\":\"account.link_failed\",\"body\":{\"reason\":"
				  "\"account_mismatch\"}}")},
	    {NULL, NULL}};
	struct ctl c = {.format = CTL_TABLE};
	struct run r = run_against(steps, &c, "account link");

	assert_int_equal(r.code, 9);
	run_free(&r);
	r = run_against(failed, &c, "account link");
	assert_int_equal(r.code, 7);
	run_free(&r);
	r = run_words(&c, "account link --qr big");
	assert_int_equal(r.code, EX_USAGE_);
	run_free(&r);
}

static int
make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/wardctl-test-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/api.sock", dir);
	return 0;
}

static int
drop_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_to_requests),
	    cmocka_unit_test(the_account),
	    cmocka_unit_test(a_key_is_made),
	    cmocka_unit_test(exit_codes),
	    cmocka_unit_test(time_limit),
	    cmocka_unit_test(terminals_are_safe),
	    cmocka_unit_test(tables_and_lines),
	    cmocka_unit_test(status_screen),
	    cmocka_unit_test(sandbox),
	    cmocka_unit_test(store_commands),
	    cmocka_unit_test(help_and_completion),
	    cmocka_unit_test(follow_acknowledges),
	    cmocka_unit_test(follow_exec),
	    cmocka_unit_test(follow_ends),
	    cmocka_unit_test(link_by_qr),
	    cmocka_unit_test(link_by_code),
	    cmocka_unit_test(link_refused),
	};

	alarm(120 * test_slow()); /* a hang is a failure, not a wait */
	return cmocka_run_group_tests_name("wardctl: commands", tests, make_dir, drop_dir);
}
