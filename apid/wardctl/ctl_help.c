/* wardctl help and completion, out of the tables of commands and of the API. */
#include <string.h>

#include "apid/wardctl/ctl.h"

/* Our own command that stands for a method, if there is one. */
static int
has_command(const char *method)
{
	for (size_t i = 0; i < ctl_ncommands; i++) {
		size_t n = strlen(ctl_commands[i].noun);

		if (ctl_commands[i].verb != NULL && strncmp(method, ctl_commands[i].noun, n) == 0 &&
		    method[n] == '.' && strcmp(method + n + 1, ctl_commands[i].verb) == 0)
			return 1;
	}
	return 0;
}

/* On the command line - stands for _. */
static void
put_name(FILE *f, const char *name)
{
	for (; *name != '\0'; name++)
		fputc(*name == '_' ? '-' : *name, f);
}

static void
put_words(FILE *f, const struct api_method *m)
{
	size_t n = strcspn(m->name, ".");

	fprintf(f, "%.*s ", (int)n, m->name);
	put_name(f, m->name + n + 1);
}

static void
put_option(FILE *f, const struct api_field *p)
{
	int needed = (p->flags & API_REQUIRED) != 0;

	fputs(needed ? " --" : " [--", f);
	put_name(f, p->name);
	if (p->type != API_BOOL)
		fprintf(f, " %s", p->type == API_ENUM ? p->values : "VALUE");
	if (!needed)
		fputc(']', f);
}

static void
put_args(FILE *f, const struct api_field *p)
{
	for (; p != NULL && p->name != NULL; p++) {
		if (p->flags & API_ACCOUNT)
			continue;
		if (p->flags & API_ARG)
			fprintf(f, p->flags & API_REQUIRED ? " %s" : " [%s]", p->name);
		else if (p->flags & API_TEXT)
			fprintf(f, " %s…", p->name);
		else if (p->type == API_OBJECT && p->fields != NULL)
			put_args(f, p->fields);
		else
			put_option(f, p);
	}
}

static void
put_fields(FILE *f, const struct api_field *p, int indent)
{
	for (; p != NULL && p->name != NULL; p++) {
		fprintf(f, "%*s%-18s %s\n", indent, "", p->name, p->doc);
		if (p->type == API_OBJECT || p->type == API_LIST)
			put_fields(f, p->fields, indent + 2);
	}
}

static int
help_method(struct ctl *c, const char *noun, const char *verb)
{
	const struct api_method *m = ctl_find_method(c, noun, verb);

	if (m == NULL)
		return EX_USAGE_;
	fputs("wardctl ", c->out);
	put_words(c->out, m);
	put_args(c->out, m->params);
	fprintf(c->out, "\n  %s\n  (method %s)\n", m->doc, m->name);
	if (m->params != NULL) {
		fputs("\nparameters:\n", c->out);
		put_fields(c->out, m->params, 2);
	}
	fputs("\nanswer:\n", c->out);
	put_fields(c->out, m->result, 2);
	return 0;
}

static int
help_command(struct ctl *c, const struct ctl_command *cmd)
{
	fprintf(c->out, "wardctl %s%s%s %s\n  %s\n", cmd->noun, cmd->verb != NULL ? " " : "",
	    cmd->verb != NULL ? cmd->verb : "", cmd->args, cmd->doc);
	return 0;
}

int
ctl_help(struct ctl *c, int argc, char **argv)
{
	if (argc >= 1)
		for (size_t i = 0; i < ctl_ncommands; i++) {
			const struct ctl_command *cmd = &ctl_commands[i];

			if (strcmp(cmd->noun, argv[0]) == 0 &&
			    (cmd->verb == NULL || (argc >= 2 && strcmp(cmd->verb, argv[1]) == 0)))
				return help_command(c, cmd);
		}
	if (argc >= 2)
		return help_method(c, argv[0], argv[1]);
	fputs(
	    "usage: wardctl [-s SOCKET] [-a ACCOUNT] [-q] [--json | --table] [--timeout SECONDS]\n"
	    "               NOUN VERB [ARG…] [--OPTION VALUE…]\n\n",
	    c->out);
	for (size_t i = 0; i < ctl_ncommands; i++) {
		const struct ctl_command *cmd = &ctl_commands[i];

		fprintf(c->out, "  %s%s%s %s\n      %s\n", cmd->noun, cmd->verb != NULL ? " " : "",
		    cmd->verb != NULL ? cmd->verb : "", cmd->args, cmd->doc);
	}
	for (size_t i = 0; i < api_nmethods; i++) {
		const struct api_method *m = &api_methods[i];

		/* belong to a connection of their own */
		if (has_command(m->name) || strcmp(m->name, "events.subscribe") == 0 ||
		    strcmp(m->name, "events.unsubscribe") == 0 ||
		    strcmp(m->name, "store.backup") == 0 || /* wardctl backup */
		    strcmp(m->name, "request.cancel") == 0)
			continue;
		fputs("  ", c->out);
		put_words(c->out, m);
		put_args(c->out, m->params);
		fprintf(c->out, "\n      %s\n", m->doc);
	}
	fputs(
	    "\nAny beginning of a word that is clear is enough. See wardctl(1) and ward-api(7).\n",
	    c->out);
	return 0;
}

/* ------------------------------------------------------------------ completion */

/* Is the noun of the i-th method the first of its kind? */
static int
first_of_noun(size_t i)
{
	size_t n = strcspn(api_methods[i].name, ".") + 1;

	for (size_t k = 0; k < i; k++)
		if (strncmp(api_methods[k].name, api_methods[i].name, n) == 0)
			return 0;
	return 1;
}

static void
complete_verbs(struct ctl *c, size_t first)
{
	const char *noun = api_methods[first].name;
	size_t n = strcspn(noun, ".");

	fprintf(c->out, "\t%.*s) words=\"", (int)n, noun);
	for (size_t i = first; i < api_nmethods; i++)
		if (strncmp(api_methods[i].name, noun, n + 1) == 0)
			fprintf(c->out, "%s ", api_methods[i].name + n + 1);
	for (size_t i = 0; i < ctl_ncommands; i++)
		if (ctl_commands[i].verb != NULL && strlen(ctl_commands[i].noun) == n &&
		    strncmp(ctl_commands[i].noun, noun, n) == 0)
			fprintf(c->out, "%s ", ctl_commands[i].verb);
	fputs("\" ;;\n", c->out);
}

int
ctl_completion(struct ctl *c, int argc, char **argv)
{
	if (argc != 1 || strcmp(argv[0], "bash") != 0) {
		ctl_say(c, "usage: wardctl completion bash");
		return EX_USAGE_;
	}
	fputs("_wardctl()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\"\" i noun=\"\" n=0\n"
	      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\tcase ${COMP_WORDS[i]} in\n\t\t-a | -s | --timeout) ((i++)) ;;\n\t\t-*) ;;\n"
	      "\t\t*) ((n++)); [ $n = 1 ] && noun=${COMP_WORDS[i]} ;;\n\t\tesac\n\tdone\n"
	      "\t[ $n -gt 1 ] && return\n\tcase $noun in\n\t\"\") words=\"",
	    c->out);
	for (size_t i = 0; i < ctl_ncommands; i++)
		if (ctl_commands[i].verb == NULL)
			fprintf(c->out, "%s ", ctl_commands[i].noun);
	for (size_t i = 0; i < api_nmethods; i++)
		if (first_of_noun(i))
			fprintf(c->out, "%.*s ", (int)strcspn(api_methods[i].name, "."),
			    api_methods[i].name);
	fputs(
	    "\" ;;\n\tshow) words=\"sandbox flows\" ;;\n\tcompletion) words=\"bash\" ;;\n", c->out);
	for (size_t i = 0; i < api_nmethods; i++)
		if (first_of_noun(i))
			complete_verbs(c, i);
	fputs("\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _wardctl "
	      "wardctl\n",
	    c->out);
	return 0;
}
