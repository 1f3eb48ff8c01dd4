/* From words to a command: the few that are more than a method, then the methods of the table. */
#include <string.h>

#include "apid/wardctl/ctl.h"

const struct ctl_command ctl_commands[] = {
    {"status", NULL, "", "Accounts and health on one screen.", ctl_status, 0},
    {"account", "link", "[--phone +NUMBER] [--code CODE] [--qr utf8|ansi|text] [--other-account]",
	"Link the account to a phone; shows the QR code, the pair code, what a passkey needs.",
	ctl_link, 1},
    {"account", "answer", "yes|no|FILE|-",
	"Give linking what it asks for: the passkey's answer, or whether the codes are the same.",
	ctl_answer, 1},
    {"message", "send",
	"TO TEXT|- [--reply-to ID] [--mentions WHO]… [--wait queued|server|delivered] "
	"[--idempotency-key KEY]",
	"Send a text; - reads it from standard input.", ctl_message_send, 1},
    {"events", "follow",
	"[CONSUMER] [--from WHERE] [--types TYPE]… [--exec CMD] [--count N] [--steal]",
	"Print events as they come; with a consumer, acknowledge each.", ctl_follow, 1},
    {"identity", "safety_number", "PARTY [--qr utf8|ansi|text]",
	"The number and the QR code to compare with a contact.", ctl_safety_number, 1},
    {"server", "metrics", "", "Counters as OpenMetrics text.", ctl_metrics, 0},
    {"backup", NULL, "FILE|-",
	"Write a backup of everything, while the service runs; - writes to standard output.",
	ctl_backup, 1},
    {"restore", NULL, "FILE|- --folder FOLDER [--config FILE] [--check]",
	"Put a backup into an empty data folder; needs no service. With --check only look at it.",
	ctl_restore, 1},
    {"store", "check", "", "Read all that is stored and say what is damaged.", ctl_store_check, 1},
    {"store", "rekey", "[--look] [--wait]", "Change all keys: go over to next_master_key.",
	ctl_store_rekey, 1},
    {"store", "snapshot", "NAME", "Copy the databases beside themselves, for debugging.",
	ctl_store_snapshot, 1},
    {"store", "stats", "[--tables]", "What the store holds and has done.", ctl_store_stats, 1},
    {"show", NULL, "sandbox|flows", "What confinement is in force; what is in flight.", ctl_show,
	0},
    {"rpc", NULL, "METHOD [JSON|-]", "Call any method with parameters as JSON.", ctl_rpc, 0},
    {"help", NULL, "[NOUN VERB]", "This list, or one command.", ctl_help, 1},
    {"completion", NULL, "bash", "A completion script for the shell.", ctl_completion, 1},
};
const size_t ctl_ncommands = sizeof(ctl_commands) / sizeof(ctl_commands[0]);

/* - as the text: it is on standard input. */
static int
read_text(struct ctl *c, json_t *params)
{
	const char *text = json_string_value(json_object_get(params, "text"));
	char *read;
	int r;

	if (text == NULL || strcmp(text, "-") != 0)
		return 0;
	if ((read = ctl_read_text(c, stdin, 65536)) == NULL)
		return -1;
	r = json_object_set_new(params, "text", json_string(read));
	free(read);
	return r;
}

/* What is sent has a key, so that it is never sent twice. */
static int
run_send(struct ctl *c, const struct api_method *m, json_t *params)
{
	json_t *result = NULL;
	char key[65];
	int r;

	if (read_text(c, params) == -1) {
		json_decref(params);
		return EX_USAGE_;
	}
	snprintf(
	    key, sizeof(key), "%s", json_string_value(json_object_get(params, "idempotency_key")));
	if ((r = ctl_connect(c)) != 0) {
		json_decref(params);
		return r;
	}
	r = ctl_call(c, m->name, params, &result);
	if (r == 0)
		ctl_put_result(c, m->result, result);
	else if (r == EX_UNKNOWN || r == EX_NO_SERVICE || r == EX_INTERNAL || r > 128)
		ctl_say(c,
		    "it may have been sent; the same command with --idempotency-key %s never sends "
		    "twice",
		    key);
	json_decref(result);
	return r == EX_NO_SERVICE ? EX_UNKNOWN : r;
}

int
ctl_message_send(struct ctl *c, int argc, char **argv)
{
	const struct api_method *m = api_method_find("message.send");
	json_t *params;
	int r = ctl_params(c, m, argc, argv, NULL, NULL, &params);

	if (r != 0)
		return r;
	if (json_object_get(params, "to") == NULL ||
	    (json_object_get(params, "text") == NULL &&
		json_object_get(params, "content") == NULL)) {
		ctl_say(c, "usage: wardctl message send TO TEXT|-");
		json_decref(params);
		return EX_USAGE_;
	}
	return run_send(c, m, params);
}

static int
run_method(struct ctl *c, const struct api_method *m, int argc, char **argv)
{
	json_t *params, *result = NULL;
	int r = ctl_params(c, m, argc, argv, NULL, NULL, &params);

	if (r != 0)
		return r;
	if (ctl_makes_key(m))
		return run_send(c, m, params);
	if ((r = ctl_connect(c)) != 0) {
		json_decref(params);
		return r;
	}
	r = ctl_call(c, m->name, params, &result);
	if (r == 0)
		ctl_put_result(c, m->result, result);
	else if (r == EX_UNKNOWN && !(m->flags & API_ACTS))
		r = EX_NO_SERVICE; /* nothing can have happened */
	json_decref(result);
	return r;
}

/* The command of one word that a word begins, if it is the only one and no noun is meant. */
static const struct ctl_command *
find_single(const char *word, int *unclear)
{
	const struct ctl_command *found = NULL;

	*unclear = 0;
	for (size_t i = 0; i < ctl_ncommands; i++) {
		const struct ctl_command *cmd = &ctl_commands[i];

		if (cmd->verb != NULL || !ctl_word_begins(cmd->noun, word))
			continue;
		if (strcmp(cmd->noun, word) == 0)
			return cmd;
		if (found != NULL)
			*unclear = 1;
		found = cmd;
	}
	for (size_t i = 0; i < api_nmethods && found != NULL; i++)
		if (ctl_word_begins(api_methods[i].name, word))
			*unclear = 1;
	return found;
}

/* A command of two words of our own; exact or by their beginnings, verbs of methods counting too.
 */
static const struct ctl_command *
find_double(const char *noun, const char *verb)
{
	const struct ctl_command *found = NULL;
	int others = 0;

	for (size_t i = 0; i < ctl_ncommands; i++) {
		const struct ctl_command *cmd = &ctl_commands[i];

		if (cmd->verb == NULL || !ctl_word_begins(cmd->noun, noun) ||
		    !ctl_word_begins(cmd->verb, verb))
			continue;
		if (strlen(cmd->verb) == strlen(verb))
			return cmd;
		found = cmd;
		others++;
	}
	for (size_t i = 0; i < api_nmethods && found != NULL; i++) {
		const char *v = strchr(api_methods[i].name, '.') + 1;

		/* the method itself, or another one that begins so: ctl_find_method tells which */
		if (ctl_word_begins(api_methods[i].name, noun) && ctl_word_begins(v, verb) &&
		    strcmp(v, found->verb) != 0)
			others++;
	}
	return others == 1 ? found : NULL;
}

static int
run_command(struct ctl *c, const struct ctl_command *cmd, int argc, char **argv)
{
	int r = cmd->offline ? 0 : ctl_connect(c);

	return r != 0 ? r : cmd->run(c, argc, argv);
}

int
ctl_run(struct ctl *c, int argc, char **argv)
{
	const struct ctl_command *cmd;
	const struct api_method *m;
	int unclear, r;

	if (argc == 0) {
		ctl_help(c, 0, NULL);
		return EX_USAGE_;
	}
	if ((cmd = find_single(argv[0], &unclear)) != NULL && !unclear) {
		r = run_command(c, cmd, argc - 1, argv + 1);
	} else if (cmd != NULL && unclear && argc == 1) {
		ctl_say(c, "%s is not clear; wardctl help lists the commands", argv[0]);
		return EX_USAGE_;
	} else if (argc == 1) {
		ctl_say(c, "%s: a verb is missing; wardctl help lists the commands", argv[0]);
		return EX_USAGE_;
	} else if ((cmd = find_double(argv[0], argv[1])) != NULL) {
		r = run_command(c, cmd, argc - 2, argv + 2);
	} else if ((m = ctl_find_method(c, argv[0], argv[1])) != NULL) {
		r = run_method(c, m, argc - 2, argv + 2);
	} else {
		return EX_USAGE_;
	}
	if (fflush(c->out) == EOF && r == 0)
		r = EX_INTERNAL;
	ctl_disconnect(c);
	return r;
}
