/* wardctl account link: begin, show each step, end when the account is linked or the time is up;
 * account answer: what a step asks for. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/wardctl/ctl.h"

struct link {
	struct ctl *c;
	int style; /* -1 = not said */
	int drawn; /* lines of the last drawing */
	int failed;
	enum {
		ASKS_NOTHING,
		ASKS_PASSKEY,
		ASKS_CONFIRM
	} asks; /* what may be typed here */
	char account[33];
};

#define ANSWER_MAX 16384
#define TURN_MS    200

static int
link_option(void *arg, const char *name, const char *value)
{
	struct link *l = arg;

	if (strcmp(name, "qr") != 0 || value == NULL)
		return 0;
	if ((l->style = qr_style_parse(value)) == -1) {
		ctl_say(l->c, "--qr must be utf8, ansi or text");
		l->failed = 1;
	}
	return 2;
}

/* Over the one before, on a terminal that has it still in view. */
static void
redraw(struct link *l)
{
	if (l->drawn > 0 && l->c->out_tty)
		fprintf(l->c->out, "\033[%dA\033[J", l->drawn);
	l->drawn = 0;
}

static void
show_qr(struct link *l, const char *text)
{
	int colour = l->c->out_tty && getenv("NO_COLOR") == NULL;
	int n;

	redraw(l);
	n = qr_draw(l->c->out, text, l->style == -1 ? QR_UTF8 : (enum qr_style)l->style, colour);
	if (n == -1) {
		ctl_say(l->c, "the code does not fit into a QR code");
		return;
	}
	l->drawn = n;
	if (l->c->quiet)
		return;
	fputs(
	    "On the phone: Settings, Linked devices, Link a device; then scan this.\n", l->c->out);
	l->drawn++;
}

static void
show_code(struct link *l, const char *code)
{
	redraw(l);
	if (!l->c->quiet) {
		fputs("On the phone: Linked devices, Link with phone number instead; then type\n\n "
		      "   ",
		    l->c->out);
		l->drawn = 3;
	}
	if (strlen(code) == 8)
		fprintf(l->c->out, "%.4s-%s", code, code + 4);
	else
		ctl_put_text(l->c->out, code);
	fputs(l->c->quiet ? "\n" : "\n\n", l->c->out);
	l->drawn++;
}

/* A browser on the service's own page can use the passkey; nothing else can. */
static void
show_passkey(struct link *l, const json_t *options)
{
	char *text = json_dumps(options, JSON_COMPACT);

	redraw(l);
	l->asks = ASKS_PASSKEY;
	fputs("The service asks for a passkey of the account's owner. In a browser that has it, "
	      "open\nhttps://web.whatsapp.com, and in its console run:\n\n"
	      "navigator.credentials.get({publicKey: "
	      "PublicKeyCredential.parseRequestOptionsFromJSON(\n",
	    l->c->out);
	if (text != NULL)
		ctl_put_text(l->c->out, text);
	free(text);
	fputs(")}).then(c => console.log(JSON.stringify(c.toJSON())))\n\n"
	      "Give what it prints to: wardctl account answer FILE (or - for standard input)\n",
	    l->c->out);
	if (isatty(STDIN_FILENO))
		fputs("or paste it here, in one line:\n", l->c->out);
}

static void
show_confirm(struct link *l, const char *code, int proved)
{
	redraw(l);
	l->asks = proved ? ASKS_NOTHING : ASKS_CONFIRM;
	fputs("\n    ", l->c->out);
	ctl_put_text(l->c->out, code);
	fputs(proved
		  ? "\n\nThe phone knows this device; it may show this code too.\n"
		  : "\n\nDoes the phone show the same code? wardctl account answer yes (or no)\n",
	    l->c->out);
	if (!proved && isatty(STDIN_FILENO))
		fputs("or type it here: ", l->c->out);
}

/* An error that is not the end: something else to show follows. */
static void
show_retry(struct link *l, const char *error)
{
	l->asks = ASKS_NOTHING;
	ctl_say(
	    l->c, "that did not work (%s); it begins anew", error != NULL ? error : "no reason");
}

/* An event for people. -1 = go on, else the exit code. */
static int
show(struct link *l, const json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "type"));
	const json_t *body = json_object_get(event, "body");
	const char *step = json_string_value(json_object_get(body, "step"));
	const char *text = json_string_value(json_object_get(body, "text"));
	const char *why = json_string_value(json_object_get(body, "reason"));
	const char *error = json_string_value(json_object_get(body, "error"));
	int human = ctl_human(l->c) || l->style != -1;

	if (!human)
		ctl_put_json(l->c, event);
	if (type == NULL)
		return -1;
	if (strcmp(type, "account.linked") == 0) {
		if (human)
			fprintf(l->c->out, "%s is linked.\n", l->account);
		return EX_OK_;
	}
	if (strcmp(type, "account.link_failed") == 0) {
		ctl_say(l->c, "linking failed (%s)%s", why != NULL ? why : "no reason",
		    why != NULL && strcmp(why, "account_mismatch") == 0
			? ": the phone is of another account than before; --other-account puts "
			  "what is kept of that one aside"
			: "");
		return why != NULL && strcmp(why, "account_mismatch") == 0 ? 7 : EX_REFUSED;
	}
	if (strcmp(type, "account.link") != 0 || step == NULL)
		return -1;
	if (strcmp(step, "qr") == 0 && human && text != NULL) {
		show_qr(l, text);
	} else if (strcmp(step, "code") == 0 && human && text != NULL) {
		show_code(l, text);
	} else if (strcmp(step, "expired") == 0) {
		ctl_say(l->c, "nobody scanned in time; run it again for a new code");
		return EX_HUMAN;
	} else if (strcmp(step, "error") == 0 && json_is_true(json_object_get(body, "goes_on"))) {
		show_retry(l, error);
	} else if (strcmp(step, "error") == 0) {
		if (error != NULL && strcmp(error, "account_mismatch") == 0)
			return -1; /* account.link_failed says it */
		ctl_say(l->c, "linking failed (%s)", error != NULL ? error : "no reason");
		return EX_HUMAN;
	} else if (strcmp(step, "not_multidevice") == 0) {
		ctl_say(l->c, "the phone is too old or has multi-device turned off");
	} else if (strcmp(step, "passkey") == 0 && human) {
		show_passkey(l, json_object_get(body, "options"));
	} else if (strcmp(step, "confirm") == 0 && human && text != NULL) {
		show_confirm(l, text, json_is_true(json_object_get(body, "handoff_proved")));
	}
	return -1;
}

/* -1 = go on */
static int
handle(struct link *l, const json_t *message)
{
	const json_t *event = json_object_get(json_object_get(message, "params"), "event");
	int r;

	if (event == NULL)
		return -1;
	r = show(l, event);
	return fflush(l->c->out) == EOF ? EX_INTERNAL : r;
}

/* What is given to a step: yes, no, or what an authenticator said. NULL: neither (said). */
static json_t *
answer_from(struct ctl *c, const char *text)
{
	json_t *o;

	if (strcmp(text, "yes") == 0 || strcmp(text, "y") == 0)
		return json_pack("{s:b}", "confirm", 1);
	if (strcmp(text, "no") == 0 || strcmp(text, "n") == 0)
		return json_pack("{s:b}", "confirm", 0);
	if ((o = json_loads(text, JSON_REJECT_DUPLICATES, NULL)) == NULL || !json_is_object(o)) {
		json_decref(o);
		ctl_say(c, "not what an authenticator gives (an object in JSON), nor yes or no");
		return NULL;
	}
	return json_pack("{s:o}", "passkey_response", o);
}

/* A line was typed while a step asks for something. */
static void
typed(struct link *l)
{
	char line[ANSWER_MAX + 2];
	json_t *params, *result = NULL;

	if (fgets(line, sizeof(line), stdin) == NULL) {
		l->asks = ASKS_NOTHING;
		return;
	}
	line[strcspn(line, "\n")] = '\0';
	if (line[0] == '\0' || (params = answer_from(l->c, line)) == NULL)
		return;
	json_object_set_new(params, "account", json_string(l->account));
	if (ctl_call(l->c, "account.link_answer", params, &result) == 0)
		l->asks = ASKS_NOTHING;
	json_decref(result);
}

/* The next message; while a step asks a person at a terminal, also what is typed. */
static int
next(struct link *l, json_t **message)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	int r;

	while (l->asks != ASKS_NOTHING && isatty(STDIN_FILENO)) {
		if ((r = ctl_next(l->c, TURN_MS, message)) != 0 || *message != NULL)
			return r;
		if (poll(&p, 1, 0) == 1)
			typed(l);
	}
	return ctl_next(l->c, -1, message);
}

static int
follow(struct link *l)
{
	json_t *message = NULL;
	int r, end;

	for (;;) {
		/* those that came while an answer was awaited */
		while (json_array_size(l->c->events) > 0) {
			end = handle(l, json_array_get(l->c->events, 0));
			json_array_remove(l->c->events, 0);
			if (end != -1)
				return end;
		}
		message = NULL;
		if ((r = next(l, &message)) != 0)
			return r;
		end = handle(l, message);
		json_decref(message);
		if (end != -1)
			return end;
	}
}

/* Which account: said, or the only one. */
static int
choose_account(struct link *l, json_t *params)
{
	const json_t *all = json_object_get(l->c->hello, "accounts");
	const char *name = json_string_value(json_object_get(params, "account"));

	if (name == NULL && json_array_size(all) == 1)
		name = json_string_value(json_array_get(all, 0));
	if (name == NULL) {
		ctl_say(l->c, "there are several accounts: say which with -a");
		return EX_USAGE_;
	}
	snprintf(l->account, sizeof(l->account), "%s", name);
	return 0;
}

int
ctl_link(struct ctl *c, int argc, char **argv)
{
	struct link l = {.c = c, .style = -1};
	json_t *params, *result = NULL, *ignored = NULL;
	int r =
	    ctl_params(c, api_method_find("account.link"), argc, argv, link_option, &l, &params);

	if (r != 0 || l.failed) {
		json_decref(params);
		return EX_USAGE_;
	}
	if ((r = ctl_connect(c)) != 0 || (r = choose_account(&l, params)) != 0) {
		json_decref(params);
		return r;
	}
	ctl_catch_signals();
	/* first listen, then begin: no step is missed */
	r = ctl_call(c, "events.subscribe",
	    json_pack("{s:{s:[s], s:[s]}}", "filter", "types", "account.*", "accounts", l.account),
	    &result);
	json_decref(result);
	if (r != 0) {
		json_decref(params);
		return r;
	}
	if ((r = ctl_call(c, "account.link", params, &result)) == 0)
		r = follow(&l);
	json_decref(result);
	if (r == EX_UNKNOWN || r > 128) { /* we go, so should the attempt; best effort */
		ctl_stop_signal = 0;
		c->deadline = 0;
		if (ctl_send(c, "account.link_cancel", json_pack("{s:s}", "account", l.account)) !=
		    -1)
			(void)ctl_next(c, 1000, &ignored);
		json_decref(ignored);
	}
	return r == EX_UNKNOWN ? EX_HUMAN : r;
}

/* ------------------------------------------------------------------ account answer */

/* The text of a file, - standard input. NULL (said). */
static char *
read_answer(struct ctl *c, const char *name)
{
	FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
	char *text;

	if (f == NULL) {
		ctl_say(c, "%s: cannot be read", name);
		return NULL;
	}
	text = ctl_read_text(c, f, ANSWER_MAX);
	if (f != stdin)
		fclose(f);
	return text;
}

static int
is_word(const char *text)
{
	return strcmp(text, "yes") == 0 || strcmp(text, "no") == 0;
}

int
ctl_answer(struct ctl *c, int argc, char **argv)
{
	json_t *params, *result = NULL;
	char *text = NULL;
	int r;

	if (argc != 1) {
		ctl_say(c, "usage: wardctl account answer yes|no|FILE|-");
		return EX_USAGE_;
	}
	if (!is_word(argv[0]) && (text = read_answer(c, argv[0])) == NULL)
		return EX_USAGE_;
	params = answer_from(c, text != NULL ? text : argv[0]);
	free(text);
	if (params == NULL)
		return EX_USAGE_;
	if (c->account != NULL)
		json_object_set_new(params, "account", json_string(c->account));
	if ((r = ctl_connect(c)) != 0) {
		json_decref(params);
		return r;
	}
	r = ctl_call(c, "account.link_answer", params, &result);
	json_decref(result);
	return r;
}
