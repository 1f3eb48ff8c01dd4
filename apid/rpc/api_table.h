/* The API as data: every method and event with its parameters, fields and words. From this one
 * table come the checks of requests, server.schema, wardctl's help and arguments, and ward-api(7).
 */
#ifndef WARD_API_TABLE_H
#define WARD_API_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define API_PROTOCOL 1
#define API_VERSION  "1.2" /* of protocol 1: only additions */

/* Roles, a bit set. */
enum api_role {
	API_OBSERVE = 1,
	API_READ = 2,
	API_SEND = 4,
	API_MANAGE = 8,
	API_LINK = 16,
	API_IDENTITY = 32,
	API_ADMIN = 64,
	API_ANY = 127 /* whoever has one role at all */
};
#define API_NROLES 7
extern const char *const api_role_names[API_NROLES];   /* bit 0 first */
unsigned api_role_parse(const char *word, size_t len); /* "all" too; 0 = no such role */

enum api_type {
	API_STRING,
	API_INT,
	API_BOOL,
	API_ENUM,    /* a string out of `values` */
	API_STRINGS, /* an array of strings; min and max count them */
	API_OBJECT,  /* of `fields`; without fields: any object */
	API_LIST,    /* an array of objects of `fields` */
	API_ID,      /* a request id: string or integer */
	API_FD,      /* number of a descriptor that comes with the request, from 0 */
	API_ANY_TYPE
};

struct api_field {
	const char *name;
	enum api_type type;
	unsigned flags;
	int64_t min, max;   /* bytes of a string, value of an integer, items of an array */
	const char *values; /* API_ENUM: "qr|code" */
	const char *doc;    /* what it is, with its unit; a default if it has one */
	const struct api_field *fields; /* of API_OBJECT and API_LIST; ends with a NULL name */
};
#define API_REQUIRED 1u
#define API_ACCOUNT  2u  /* the name of an account; may be left out where there is only one */
#define API_TEXT     4u  /* wardctl: the words that are left on the command line */
#define API_SECRET   8u  /* is not to be logged or kept in a history */
#define API_ARG      16u /* wardctl: a word after the verb may stand for it, in this order */

struct api_method {
	const char *name;               /* "noun.verb" */
	unsigned role;                  /* one of these bits is needed */
	const char *doc;                /* one sentence */
	const struct api_field *params; /* ends with a NULL name; NULL = none */
	const struct api_field *result;
	unsigned flags;
};
#define API_FDS_MAX      8 /* descriptors with one request */
#define API_MENTIONS_MAX 6 /* people mentioned in one message */
#define API_PARTIES_MAX  8 /* people of one privacy.tokens_issue */
/* How far a message is; outcome_unknown: it was sent, and nobody will say whether it arrived. */
#define MESSAGE_STATUSES "queued|server|delivered|read|played|failed|outcome_unknown|retrying"
#define API_NOTIFY       1u /* may be called without an id */
#define API_ACTS         2u /* changes something: not offered by `wardctl` without being asked */

struct api_event {
	const char *type;
	int durable;   /* in the log, with a cursor */
	unsigned role; /* one of these bits is needed to see it */
	const char *doc;
	const struct api_field *body;
};

extern const struct api_method api_methods[];
extern const size_t api_nmethods;
extern const struct api_event api_events[];
extern const size_t api_nevents;
extern const struct api_field api_event_envelope[]; /* what every event has */

/* Error codes, for the man page and wardctl. */
struct api_error_class {
	int code;
	const char *name;
	const char *reasons; /* "a|b" */
	const char *retry;
};
extern const struct api_error_class api_error_classes[];
extern const size_t api_nerror_classes;

const struct api_method *api_method_find(const char *name); /* NULL if there is none */
const struct api_event *api_event_find(const char *type);

/* 1 if word is in "a|b|c". */
int api_in_values(const char *values, const char *word);

/* The JSON Schema (draft 2020-12) of all methods and events that `roles` may use; type (may be
 * NULL) names one of them. A new reference; NULL when there is no such thing or memory is out. */
json_t *api_schema(unsigned roles, const char *type);

#endif
