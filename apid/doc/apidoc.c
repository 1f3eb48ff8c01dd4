/* Writes ward-api(7) out of the table of the API: what the build can do is what the page says. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apid/rpc/api_table.h"

/* Text as mdoc: escapes, and nothing at the beginning of a line that would be a request. */
static void
text(const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s != '\0'; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (strncmp(s, "\xe2\x80\xa6", 3) == 0) { /* … */
			fputs("\\[u2026]", stdout);
			s += 2;
		} else if (s[0] == '.' && s[1] == ' ' && s[2] >= 'A' && s[2] <= 'Z') {
			fputs(".\n", stdout); /* a sentence begins on a line of its own */
			s++;
		} else {
			putchar(*s);
		}
	}
}

static void
line(const char *s)
{
	text(s);
	putchar('\n');
}

/* ------------------------------------------------------------------ fields */

static const char *
type_name(const struct api_field *f)
{
	switch (f->type) {
	case API_STRING:
	case API_ENUM:
		return "string";
	case API_INT:
		return "integer";
	case API_BOOL:
		return "boolean";
	case API_STRINGS:
		return "strings";
	case API_OBJECT:
		return "object";
	case API_LIST:
		return "objects";
	case API_ID:
		return "string or integer";
	case API_FD:
		return "number of a descriptor";
	case API_ANY_TYPE:
		break;
	}
	return "any";
}

static void
words(const char *values)
{
	for (const char *p = values; p != NULL && *p != '\0';) {
		size_t n = strcspn(p, "|");

		printf(".Cm %.*s%s\n", (int)n, p, p[n] == '|' ? " ," : "");
		p += n + (p[n] == '|');
	}
}

static void
fields(const struct api_field *f, int params)
{
	puts(".Bl -tag -width 4n -compact");
	for (; f->name != NULL; f++) {
		printf(".It Va %s Pq %s%s\n", f->name, type_name(f),
		    f->flags & API_REQUIRED ? ", required" : "");
		line(f->doc);
		if (params && f->max > 0 && f->type == API_STRING)
			printf("(%" PRId64 " to %" PRId64 " bytes)\n", f->min, f->max);
		if (params && f->max > 0 && f->type == API_INT)
			printf("(%" PRId64 " to %" PRId64 ")\n", f->min, f->max);
		if (params && f->max > 0 && f->type == API_STRINGS)
			printf("(%" PRId64 " to %" PRId64 " of them)\n", f->min, f->max);
		if (f->type == API_ENUM) {
			puts("One of");
			words(f->values);
		}
		if ((f->type == API_OBJECT || f->type == API_LIST) && f->fields != NULL &&
		    f->fields != api_event_envelope)
			fields(f->fields, params);
	}
	puts(".El");
}

static void
roles(unsigned bits)
{
	int first = 1;

	if (bits == API_ANY) {
		fputs("any role", stdout);
		return;
	}
	for (unsigned i = 0; i < API_NROLES; i++)
		if (bits & (1u << i)) {
			printf("%s%s", first ? "" : " or ", api_role_names[i]);
			first = 0;
		}
}

/* ------------------------------------------------------------------ sections */

static void
methods(void)
{
	puts(".Sh METHODS\nThe words in parentheses are the roles that may call a method.\n.Bl "
	     "-tag -width 4n");
	for (size_t i = 0; i < api_nmethods; i++) {
		const struct api_method *m = &api_methods[i];

		printf(".It Ic %s\n(", m->name);
		roles(m->role);
		puts(")\n.br");
		line(m->doc);
		if (m->flags & API_NOTIFY)
			puts("May be sent without an id; nothing is answered then.");
		if (m->params != NULL) {
			puts(".Pp\nParameters:");
			fields(m->params, 1);
		}
		puts(".Pp\nResult:");
		fields(m->result, 0);
	}
	puts(".El");
}

static void
events(void)
{
	puts(".Sh EVENTS\nEvery event has these fields; a transient one has no id, no seq and no "
	     "cursor.");
	fields(api_event_envelope, 0);
	puts(".Pp\nThe types, with the fields of their body:\n.Bl -tag -width 4n");
	for (size_t i = 0; i < api_nevents; i++) {
		const struct api_event *e = &api_events[i];

		printf(".It Cm %s\n(%s; for ", e->type, e->durable ? "durable" : "transient");
		roles(e->role);
		puts(")\n.br");
		line(e->doc);
		fields(e->body, 0);
	}
	puts(".El");
}

static void
errors(void)
{
	puts(".Sh ERROR CODES\nPrograms branch on\n.Va code\nand on\n.Va data.reason ,\nwhich are "
	     "stable;\n"
	     ".Va message\nis for people.\n.Va data.retryable\nsays whether it makes sense to try "
	     "again,\n"
	     ".Va data.path\nwhich parameter is at fault.\n.Bl -tag -width 8n");
	for (size_t i = 0; i < api_nerror_classes; i++) {
		const struct api_error_class *e = &api_error_classes[i];

		printf(".It Er %d\n%s.\nRetry: %s.\nReasons:\n", e->code, e->name, e->retry);
		words(e->reasons);
	}
	puts(".El");
}

static const char head[] =
    ".\\\" Made by apidoc out of the table of the API.\n"
    ".Dd November 24, 2026\n.Dt WARD-API 7\n.Os\n"
    ".Sh NAME\n.Nm ward-api\n.Nd JSON-RPC interface of ward\n"
    ".Sh DESCRIPTION\n"
    "Programs talk to\n.Xr ward 8\nover a Unix stream socket.\n"
    "Each line is one JSON object in UTF-8 that ends with a line feed: a request of JSON-RPC 2.0 "
    "in one\n"
    "direction, an answer or a notification in the other.\n"
    "Nothing has to be said before the first request;\n.Ic server.hello\n"
    "tells a client what it may do and which limits are in force.\n"
    ".Pp\n"
    "A request has\n.Va jsonrpc\n.Pq Qq 2.0 ,\n.Va id ,\n.Va method\nand\n.Va params .\n"
    "The id is a string of at most 64 bytes or an integer within 2^53, and no other request in "
    "flight on\n"
    "the connection has it.\n"
    "Parameters are always an object, and an unknown one is an error.\n"
    "Requests without an id are refused where nothing else is said, and so are batches: requests "
    "may be\n"
    "sent without waiting, and answers may come in another order.\n"
    "Duplicate keys, invalid UTF-8, NUL and nesting beyond 48 levels are errors.\n"
    "A client ignores fields and words in answers that it does not know.\n"
    ".Pp\n"
    "Who may do what is decided once, from the credentials that the kernel gives for the "
    "connection and\n"
    "the section\n.Cm [roles]\nof\n.Xr ward.conf 5 .\n"
    "Root and the user that runs the service have all roles.\n"
    ".Pp\n"
    "The service stops reading a connection that has too many requests in flight or too many "
    "unread\n"
    "answers, and closes it when it then reads nothing for a while.\n"
    "Events never count: they wait in the log.\n"
    "A line that is too long, or does not end in time, is answered with an error and the "
    "connection is\n"
    "closed.\n"
    ".Pp\n"
    "Names are written\n.Ar noun.verb ,\n"
    "times are milliseconds since the epoch and end in\n.Va _ms ,\n"
    "binary data is base64 and ends in\n.Va _b64 .\n";

static const char delivery[] =
    ".Sh DELIVERY\n"
    "There is one event log for all accounts.\n"
    "An event is on disk before the service of WhatsApp is told that its message arrived.\n"
    ".Pp\n"
    "A durable consumer belongs to the user that made it.\n"
    "It gets each event, in the order of the log, at least once: what was not acknowledged comes "
    "again\n"
    "after a reconnection, with\n.Va redelivered\ntrue.\n"
    "An acknowledgement covers all events up to its cursor and is on disk when it is answered.\n"
    "One client at a time has a consumer; another may take it with\n.Va steal .\n"
    "A cursor is opaque, and is refused with\n.Cm bad_cursor\nafter the log was replaced.\n"
    "Where the log had to lose something that was not acknowledged, an\n.Cm events.gap\nsays so.\n"
    ".Pp\n"
    "A subscription without a consumer gets what is committed from then on, at most once.\n"
    ".Pp\n"
    "A message that is sent again with the same\n.Va idempotency_key\n"
    "is not sent twice: the first result is returned, with\n.Va duplicate\ntrue.\n"
    "After an error with reason\n.Cm outcome_unknown ,\nor a lost connection, the same request "
    "with the\n"
    "same key tells what became of it.\n";

static const char beside[] =
    ".Sh DESCRIPTORS AND PROGRESS\n"
    "A method may take an open descriptor, such as the file that\n.Ic store.backup\nwrites to.\n"
    "The client asks for the feature\n.Cm fd\nin\n.Ic server.hello ,\n"
    "sends the request with one\n.Xr sendmsg 2 ,\nand its descriptors, at most 8, as\n"
    ".Dv SCM_RIGHTS\nbeside the first byte; the parameter is the number of one of them, from 0.\n"
    "Descriptors that no request takes end the connection.\n"
    ".Pp\n"
    "A method that takes long is answered at its end.\n"
    "With\n.Va progress_token\nnotifications of the form\n"
    ".Bd -literal -offset indent\n"
    "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"token\":1,\n"
    " \"done\":4096,\"total\":81920,\"unit\":\"bytes\"}}\n"
    ".Ed\n"
    ".Pp\n"
    "come before, as long as the client reads them.\n.Ic request.cancel\n"
    "and the end of the connection end the work as well.\n";

static const char tail[] =
    ".Sh EXAMPLES\n"
    "Health, by hand:\n"
    ".Bd -literal -offset indent\n"
    "echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.health\"}' |\n"
    "    nc -NU /run/ward/api.sock\n"
    ".Ed\n"
    ".Pp\n"
    "A durable consumer; C is the client, S the service:\n"
    ".Bd -literal -offset indent\n"
    "C {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\",\n"
    "   \"params\":{\"consumer\":\"crm\",\"filter\":{\"types\":[\"message.*\"]}}}\n"
    "S {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"subscription\":\"s1\",\n"
    "   \"cursor\":\"1.9f3c0a1b.41288\",\"lag\":1,\"created\":false}}\n"
    "S {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"subscription\":\"s1\",\n"
    "   \"cursor\":\"1.9f3c0a1b.41289\",\"event\":{\"type\":\"message.received\",...}}}\n"
    "C {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"events.ack\",\n"
    "   \"params\":{\"consumer\":\"crm\",\"cursor\":\"1.9f3c0a1b.41289\"}}\n"
    ".Ed\n"
    ".Sh SEE ALSO\n.Xr wardctl 1 ,\n.Xr ward.conf 5 ,\n.Xr apid 8 ,\n.Xr ward 8\n"
    ".Sh STANDARDS\n"
    "JSON-RPC 2.0, without batches, positional parameters and silent requests.\n"
    "The answer of\n.Ic server.schema\nis JSON Schema, draft 2020-12.\n"
    ".Sh CAVEATS\n"
    "The process id of a client is logged and never trusted.\n"
    "Whoever may read events reads messages; there is no role below it that sees some of their "
    "content.\n";

int
main(void)
{
	fputs(head, stdout);
	fputs(delivery, stdout);
	fputs(beside, stdout);
	methods();
	events();
	errors();
	fputs(tail, stdout);
	return fflush(stdout) == EOF || ferror(stdout);
}
