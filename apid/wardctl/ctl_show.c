/* wardctl status, show sandbox, show flows, server metrics, rpc. */
#include <stdlib.h>
#include <string.h>

#include "apid/wardctl/ctl.h"

#define RPC_PARAMS_MAX (1u << 20)

/* ------------------------------------------------------------------ status */

static void
put_checks(struct ctl *c, const json_t *checks)
{
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *check = json_array_get(checks, i);
		const char *name = json_string_value(json_object_get(check, "name"));
		const char *status = json_string_value(json_object_get(check, "status"));
		const char *reason = json_string_value(json_object_get(check, "reason"));

		if (name == NULL || status == NULL)
			continue;
		fputs("  ", c->out);
		ctl_put_text(c->out, name);
		fputs(": ", c->out);
		ctl_put_text(c->out, status);
		if (reason != NULL) {
			fputs(" (", c->out);
			ctl_put_text(c->out, reason);
			fputc(')', c->out);
		}
		fputc('\n', c->out);
	}
}

/* In words that are not overlooked. */
static void
put_warnings(struct ctl *c, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));

		fputs("WARNING: ", c->out);
		if (word != NULL && strcmp(word, "unconfined") == 0)
			fputs("the processes are NOT CONFINED (developer_unconfined)", c->out);
		else if (word != NULL && strcmp(word, "test_noise_root_key") == 0)
			fputs("ANOTHER ROOT KEY than that of WhatsApp is trusted (test "
			      "noise_root_key)",
			    c->out);
		else
			ctl_put_text(c->out, word != NULL ? word : "?");
		fputc('\n', c->out);
	}
}

int
ctl_status(struct ctl *c, int argc, char **argv)
{
	json_t *version = NULL, *health = NULL, *accounts = NULL;
	int r;

	if (argc > 0) {
		ctl_say(c, "%s: one word too many", argv[0]);
		return EX_USAGE_;
	}
	if ((r = ctl_call(c, "server.version", NULL, &version)) != 0 ||
	    (r = ctl_call(c, "server.health", NULL, &health)) != 0 ||
	    (r = ctl_call(c, "account.list", NULL, &accounts)) != 0)
		goto done;
	if (!ctl_human(c)) {
		json_t *all = json_pack("{s:O, s:O, s:O}", "version", version, "health", health,
		    "accounts", json_object_get(accounts, "accounts"));

		ctl_put_json(c, all);
		json_decref(all);
		goto done;
	}
	ctl_put_text(c->out, json_string_value(json_object_get(version, "server")));
	fputs(" is ", c->out);
	ctl_put_text(c->out, json_string_value(json_object_get(health, "status")));
	fputc('\n', c->out);
	put_warnings(c, json_object_get(health, "warnings"));
	put_checks(c, json_object_get(health, "checks"));
	fputc('\n', c->out);
	ctl_put_result(c, api_method_find("account.list")->result, accounts);
done:
	json_decref(version);
	json_decref(health);
	json_decref(accounts);
	return r;
}

/* ------------------------------------------------------------------ show */

static void
put_process(struct ctl *c, const char *name, const json_t *process)
{
	json_t *p = (json_t *)(uintptr_t)process, *v; /* jansson's iterators want no const */
	const char *key;

	ctl_put_text(c->out, name);
	fputc('\n', c->out);
	json_object_foreach(p, key, v)
	{
		size_t n = json_is_array(v) ? json_array_size(v) : 1;

		for (size_t i = 0; i < n; i++) {
			const char *text =
			    json_string_value(json_is_array(v) ? json_array_get(v, i) : v);

			fprintf(c->out, "  %-16s ", i == 0 ? key : "");
			ctl_put_text(c->out, text != NULL ? text : "?");
			fputc('\n', c->out);
		}
	}
}

static int
show_sandbox(struct ctl *c)
{
	json_t *result = NULL, *process, *processes;
	const char *name;
	int r = ctl_call(c, "server.sandbox", NULL, &result);

	if (r != 0)
		return r;
	processes = json_object_get(result, "processes");
	json_object_foreach(processes, name, process)
	{
		if (ctl_human(c)) {
			put_process(c, name, process);
		} else {
			json_object_set_new(process, "process", json_string(name));
			ctl_put_json(c, process);
		}
	}
	json_decref(result);
	return 0;
}

static int
show_flows(struct ctl *c)
{
	json_t *result = NULL;
	int r = ctl_call(c, "server.flows", NULL, &result);

	if (r == 0)
		ctl_put_result(c, api_method_find("server.flows")->result, result);
	json_decref(result);
	return r;
}

int
ctl_show(struct ctl *c, int argc, char **argv)
{
	if (argc == 1 && ctl_word_begins("sandbox", argv[0]))
		return show_sandbox(c);
	if (argc == 1 && ctl_word_begins("flows", argv[0]))
		return show_flows(c);
	ctl_say(c, "usage: wardctl show sandbox|flows");
	return EX_USAGE_;
}

int
ctl_metrics(struct ctl *c, int argc, char **argv)
{
	json_t *result = NULL;
	const char *text;
	int r;

	if (argc > 0) {
		ctl_say(c, "%s: one word too many", argv[0]);
		return EX_USAGE_;
	}
	if ((r = ctl_call(c, "server.metrics", NULL, &result)) != 0)
		return r;
	text = json_string_value(json_object_get(result, "text"));
	if (c->format == CTL_JSON)
		ctl_put_json(c, json_object_get(result, "counters"));
	else
		fputs(text != NULL ? text : "", c->out);
	json_decref(result);
	return 0;
}

/* ------------------------------------------------------------------ rpc */

int
ctl_rpc(struct ctl *c, int argc, char **argv)
{
	json_t *params = NULL, *result = NULL;
	json_error_t e;
	char *text = NULL;
	int r;

	if (argc < 1 || argc > 2) {
		ctl_say(c, "usage: wardctl rpc METHOD [JSON|-]");
		return EX_USAGE_;
	}
	if (argc == 2) {
		text = strcmp(argv[1], "-") == 0 ? ctl_read_text(c, stdin, RPC_PARAMS_MAX)
						 : strdup(argv[1]);
		if (text == NULL)
			return EX_USAGE_;
		params = json_loads(text, JSON_REJECT_DUPLICATES, &e);
		free(text);
		if (params == NULL) {
			ctl_say(c, "the parameters are not JSON: %s", e.text);
			return EX_USAGE_;
		}
	}
	if ((r = ctl_call(c, argv[0], params, &result)) == 0)
		ctl_put_json(c, result);
	json_decref(result);
	return r;
}
