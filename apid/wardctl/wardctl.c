/* wardctl: the control program. Options and environment; the rest is ctl_command.c. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/wardctl/ctl.h"

#define TIMEOUT_MAX 86400 /* seconds */

static int
parse_timeout(struct ctl *c, const char *text)
{
	char *end;
	double v;

	errno = 0;
	v = text != NULL ? strtod(text, &end) : 0;
	if (text == NULL || errno != 0 || end == text || *end != '\0' ||
	    !(v > 0 && v <= TIMEOUT_MAX)) {
		ctl_say(c, "--timeout needs seconds, at most %d", TIMEOUT_MAX);
		return -1;
	}
	c->timeout_ms = (int64_t)(v * 1000);
	if (c->timeout_ms == 0)
		c->timeout_ms = 1;
	return 0;
}

/* How many words an option of wardctl itself took: 0 = it is not one, -1 = it is wrong (said). */
static int
take_option(struct ctl *c, int argc, char **argv)
{
	const char *o = argv[0], *value = argc > 1 ? argv[1] : NULL;

	if (strcmp(o, "--json") == 0)
		c->format = CTL_JSON;
	else if (strcmp(o, "--table") == 0)
		c->format = CTL_TABLE;
	else if (strcmp(o, "-q") == 0)
		c->quiet = 1;
	else if (strcmp(o, "--timeout") == 0)
		return parse_timeout(c, value) == -1 ? -1 : 2;
	else if (strncmp(o, "--timeout=", 10) == 0)
		return parse_timeout(c, o + 10) == -1 ? -1 : 1;
	else if ((strcmp(o, "-s") == 0 || strcmp(o, "-a") == 0) && value != NULL) {
		*(o[1] == 's' ? &c->socket : &c->account) = value;
		return 2;
	} else {
		return 0;
	}
	return 1;
}

/* Options may stand anywhere before "--"; what is left are words and options of the command. */
static int
take_options(struct ctl *c, int argc, char **argv, char **words)
{
	int n = 0, took;

	for (int i = 0; i < argc; i += took) {
		took = 0;
		if (argv[i][0] == '-')
			took = take_option(c, argc - i, argv + i);
		if (took == -1)
			return -1;
		if (took == 0 && n == 0 && argv[i][0] == '-' && argv[i][1] != '\0' &&
		    strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) {
			ctl_say(c, "there is no option %s", argv[i]);
			return -1;
		}
		if (took != 0)
			continue;
		words[n++] = argv[i];
		took = 1;
		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				words[n++] = argv[i];
			break;
		}
	}
	return n;
}

int
main(int argc, char *argv[])
{
	struct ctl c = {.fd = -1, .out = stdout, .err = stderr};
	char **words;
	int n, r;

	setlocale(LC_ALL, "");
	signal(SIGPIPE, SIG_IGN);
	c.out_tty = isatty(STDOUT_FILENO);
	c.err_tty = isatty(STDERR_FILENO);
	c.account = getenv("WARD_ACCOUNT");
	if (c.account != NULL && c.account[0] == '\0')
		c.account = NULL;
	c.socket = getenv("WARD_SOCKET");
	if (c.socket == NULL || c.socket[0] == '\0')
		c.socket = CTL_SOCKET;
	if ((words = calloc((size_t)argc + 1, sizeof(char *))) == NULL)
		return EX_INTERNAL;
	n = take_options(&c, argc - 1, argv + 1, words);
	if (n > 0 && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0))
		words[0] = strdup("help");
	r = n == -1 ? EX_USAGE_ : ctl_run(&c, n, words);
	ctl_disconnect(&c);
	free(words);
	return r;
}
