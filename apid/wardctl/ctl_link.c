/* wardctl account link: begin, show each step, end when the account is linked or the time is up. */
#include <stdlib.h>
#include <string.h>

#include "apid/wardctl/ctl.h"

struct link {
	struct ctl *c;
	int style; /* -1 = not said */
	int drawn; /* lines of the last drawing */
	int failed;
	char account[33];
};

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
		ctl_say(l->c, "linking failed (%s)", why != NULL ? why : "no reason");
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
	} else if (strcmp(step, "error") == 0) {
		ctl_say(l->c, "linking failed (%s)", error != NULL ? error : "no reason");
		return EX_HUMAN;
	} else if (strcmp(step, "not_multidevice") == 0) {
		ctl_say(l->c, "the phone is too old or has multi-device turned off");
	} else if (strncmp(step, "passkey", 7) == 0 || strcmp(step, "confirm") == 0) {
		ctl_say(l->c, "the phone asks for a passkey, which this version cannot give");
		return EX_HUMAN;
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

static int
follow(struct link *l)
{
	json_t *message = NULL;
	int r, end;

	for (size_t i = 0; i < json_array_size(l->c->events); i++)
		if ((end = handle(l, json_array_get(l->c->events, i))) != -1)
			return end;
	while ((r = ctl_next(l->c, -1, &message)) == 0) {
		end = handle(l, message);
		json_decref(message);
		if (end != -1)
			return end;
	}
	return r;
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
