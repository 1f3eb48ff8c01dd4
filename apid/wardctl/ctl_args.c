/* Words of the command line -> a method and its parameters, by the table of the API. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "apid/wardctl/ctl.h"

/* In words of the command line - stands for _. */
static int
same_char(char full, char typed)
{
	return full == typed || (full == '_' && typed == '-');
}

int
ctl_word_begins(const char *full, const char *word)
{
	if (*word == '\0')
		return 0;
	for (; *word != '\0'; full++, word++)
		if (!same_char(*full, *word)) /* also at the end of full */
			return 0;
	return 1;
}

static int
word_is(const char *full, size_t len, const char *word)
{
	return ctl_word_begins(full, word) && strlen(word) == len;
}

/* How well a word names a part of a method: 2 wholly, 1 by its beginning, 0 not. */
static int
rank(const char *part, size_t len, const char *word)
{
	if (word_is(part, len, word))
		return 2;
	return strlen(word) < len && ctl_word_begins(part, word);
}

/* 1 if the nouns of two methods are the same. */
static int
same_noun(const char *a, const char *b)
{
	size_t n = strcspn(a, ".");

	return strcspn(b, ".") == n && memcmp(a, b, n) == 0;
}

/* The noun that is meant: any method that has it. */
static const struct api_method *
find_noun(struct ctl *c, const char *noun)
{
	const struct api_method *found = NULL;
	int best = 0;

	for (size_t i = 0; i < api_nmethods; i++) {
		const char *name = api_methods[i].name;
		int r = rank(name, strcspn(name, "."), noun);

		if (r == 0 || r < best)
			continue;
		if (found != NULL && r == best && !same_noun(found->name, name)) {
			ctl_say(c, "%s is not clear: there are %.*s and %.*s", noun,
			    (int)strcspn(found->name, "."), found->name, (int)strcspn(name, "."),
			    name);
			return NULL;
		}
		found = &api_methods[i];
		best = r;
	}
	if (found == NULL)
		ctl_say(c, "there is no command %s; wardctl help lists them", noun);
	return found;
}

const struct api_method *
ctl_find_method(struct ctl *c, const char *noun, const char *verb)
{
	const struct api_method *of_noun = find_noun(c, noun), *found = NULL;
	int best = 0;

	if (of_noun == NULL)
		return NULL;
	for (size_t i = 0; i < api_nmethods; i++) {
		const struct api_method *m = &api_methods[i];
		const char *part = strchr(m->name, '.') + 1;
		int r = same_noun(m->name, of_noun->name) ? rank(part, strlen(part), verb) : 0;

		if (r == 0 || r < best)
			continue;
		if (found != NULL && r == best) {
			ctl_say(
			    c, "%s is not clear: there are %s and %s", verb, found->name, m->name);
			return NULL;
		}
		found = m;
		best = r;
	}
	if (found == NULL)
		ctl_say(c, "there is no command %s %s; wardctl help lists them", noun, verb);
	return found;
}

/* ------------------------------------------------------------------ values */

static int
bad_value(struct ctl *c, const struct api_field *f, const char *value, const char *what)
{
	ctl_say(c, "--%s %s: %s", f->name, value, what);
	return EX_USAGE_;
}

static int
set_int(struct ctl *c, json_t *o, const struct api_field *f, const char *value)
{
	char *end, what[96];
	long long v;

	errno = 0;
	v = strtoll(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || value[0] == ' ' || value[0] == '+' ||
	    v < f->min || v > f->max) {
		snprintf(what, sizeof(what), "must be a number from %" PRId64 " to %" PRId64,
		    f->min, f->max);
		return bad_value(c, f, value, what);
	}
	json_object_set_new(o, f->name, json_integer(v));
	return 0;
}

static int
set_value(struct ctl *c, json_t *o, const struct api_field *f, const char *value)
{
	json_t *v = NULL;

	switch (f->type) {
	case API_STRING:
		if ((v = json_string(value)) == NULL)
			return bad_value(c, f, value, "must be UTF-8");
		break;
	case API_ENUM:
		if (!api_in_values(f->values, value))
			return bad_value(c, f, value, f->values);
		v = json_string(value);
		break;
	case API_INT:
	case API_FD: /* a command of its own opens it; the service refuses what did not come */
		return set_int(c, o, f, value);
	case API_STRINGS:
		if ((v = json_object_get(o, f->name)) == NULL)
			json_object_set_new(o, f->name, v = json_array());
		return json_array_append_new(v, json_string(value)) == 0
			   ? 0
			   : bad_value(c, f, value, "UTF-8");
	case API_ID:
		v = value[0] != '\0' && value[strspn(value, "0123456789")] == '\0' &&
			    strlen(value) < 16
			? json_integer(strtoll(value, NULL, 10))
			: json_string(value);
		break;
	case API_BOOL:
	case API_OBJECT:
	case API_LIST:
	case API_ANY_TYPE:
		if ((v = json_loads(value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL)) == NULL)
			return bad_value(c, f, value, "must be JSON");
		break;
	}
	json_object_set_new(o, f->name, v);
	return 0;
}

/* ------------------------------------------------------------------ options and words */

/* The field of an option; fields of an object stand beside the parameters (filter.types = --types).
 * *in is the object that it belongs to. */
static const struct api_field *
find_option(const struct api_field *f, const char *name, json_t *params, json_t **in)
{
	for (; f != NULL && f->name != NULL; f++) {
		if (word_is(f->name, strlen(f->name), name)) {
			*in = params;
			return f;
		}
		if (f->type != API_OBJECT || f->fields == NULL)
			continue;
		for (const struct api_field *g = f->fields; g->name != NULL; g++)
			if (word_is(g->name, strlen(g->name), name)) {
				if ((*in = json_object_get(params, f->name)) == NULL)
					json_object_set_new(params, f->name, *in = json_object());
				return g;
			}
	}
	return NULL;
}

/* One --option: how many words it took, or 0 (said). */
static int
take_option(struct ctl *c, const struct api_method *m, int argc, char **argv, ctl_extra_fn *extra,
    void *arg, json_t *params)
{
	const char *eq = strchr(argv[0], '='), *value = eq != NULL ? eq + 1
							: argc > 1 ? argv[1]
								   : NULL;
	json_t *in = NULL;
	const struct api_field *f;
	char name[64];
	int took;

	snprintf(
	    name, sizeof(name), "%.*s", eq != NULL ? (int)(eq - argv[0] - 2) : 63, argv[0] + 2);
	if (extra != NULL && (took = extra(arg, name, value)) != 0)
		return eq != NULL ? 1 : took;
	if ((f = find_option(m->params, name, params, &in)) == NULL) {
		ctl_say(c, "there is no option --%s here", name);
		return 0;
	}
	if (f->type == API_BOOL && eq == NULL) {
		json_object_set_new(in, f->name, json_true());
		return 1;
	}
	if (value == NULL) {
		ctl_say(c, "--%s needs a value", name);
		return 0;
	}
	if (set_value(c, in, f, value) != 0)
		return 0;
	return eq != NULL ? 1 : 2;
}

static const struct api_field *
flagged(const struct api_field *f, unsigned flag)
{
	for (; f != NULL && f->name != NULL; f++)
		if (f->flags & flag)
			return f;
	return NULL;
}

/* A word that is no option: the arguments of the method in their order, then its text. */
static int
take_word(struct ctl *c, const struct api_method *m, const char *word, json_t *params)
{
	const struct api_field *arg, *text = flagged(m->params, API_TEXT);
	const char *old;
	char *both;
	int r;

	for (arg = m->params; arg != NULL && arg->name != NULL; arg++)
		if ((arg->flags & API_ARG) != 0 && json_object_get(params, arg->name) == NULL)
			return set_value(c, params, arg, word);
	if (text == NULL) {
		ctl_say(c, "%s: one word too many", word);
		return EX_USAGE_;
	}
	old = text->type == API_STRING ? json_string_value(json_object_get(params, text->name))
				       : NULL;
	if (old == NULL)
		return set_value(c, params, text, word);
	if (asprintf(&both, "%s %s", old, word) == -1)
		return EX_INTERNAL;
	r = set_value(c, params, text, both);
	free(both);
	return r;
}

/* Said here rather than by the service: without a socket it is just as wrong. */
static int
all_there(struct ctl *c, const struct api_method *m, const json_t *params)
{
	for (const struct api_field *f = m->params; f != NULL && f->name != NULL; f++) {
		if (!(f->flags & API_REQUIRED) || json_object_get(params, f->name) != NULL)
			continue;
		ctl_say(c, "%s is missing: %s", f->name, f->doc);
		return 0;
	}
	return 1;
}

int
ctl_makes_key(const struct api_method *m)
{
	const struct api_field *f = m->params;

	while (f != NULL && f->name != NULL && strcmp(f->name, "idempotency_key") != 0)
		f++;
	return f != NULL && f->name != NULL && (m->flags & API_ACTS) != 0;
}

/* 32 hex digits. */
static int
make_key(json_t *params)
{
	unsigned char raw[16];
	char key[33];

	if (json_object_get(params, "idempotency_key") != NULL)
		return 0;
	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return -1;
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(key + 2 * i, 3, "%02x", raw[i]);
	return json_object_set_new(params, "idempotency_key", json_string(key));
}

int
ctl_params(struct ctl *c, const struct api_method *m, int argc, char **argv, ctl_extra_fn *extra,
    void *arg, json_t **out)
{
	json_t *params = json_object();
	const struct api_field *account = flagged(m->params, API_ACCOUNT);
	int only_words = 0, n;

	*out = NULL;
	if (account != NULL && c->account != NULL)
		json_object_set_new(params, account->name, json_string(c->account));
	for (int i = 0; i < argc; i += n) {
		n = 1;
		if (!only_words && strcmp(argv[i], "--") == 0)
			only_words = 1;
		else if (!only_words && strncmp(argv[i], "--", 2) == 0)
			n = take_option(c, m, argc - i, argv + i, extra, arg, params);
		else if (take_word(c, m, argv[i], params) != 0)
			n = 0;
		if (n == 0) {
			json_decref(params);
			return EX_USAGE_;
		}
	}
	if (ctl_makes_key(m) && make_key(params) == -1) {
		json_decref(params);
		return EX_INTERNAL;
	}
	*out = params;
	if (strcmp(m->name, "message.send") != 0 && !all_there(c, m, params)) {
		json_decref(params);
		*out = NULL;
		return EX_USAGE_;
	}
	return 0;
}

char *
ctl_read_text(struct ctl *c, FILE *f, size_t max)
{
	char *text = malloc(max + 2);
	size_t len = text != NULL ? fread(text, 1, max + 2, f) : 0;

	if (text == NULL || ferror(f)) {
		ctl_say(c, "the text could not be read");
	} else if (len > 0 && text[len - 1] == '\n' ? len > max + 1 : len > max) {
		ctl_say(c, "the text is longer than %zu bytes", max);
	} else {
		if (len > 0 && text[len - 1] == '\n')
			len--;
		text[len] = '\0';
		if (memchr(text, '\0', len) == NULL)
			return text;
		ctl_say(c, "the text holds a NUL");
	}
	free(text);
	return NULL;
}
