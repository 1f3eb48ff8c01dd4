/* Parameters of a request against the table: unknown, missing, of the wrong type, out of range. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apid/rpc/validate.h"

struct check {
	char *path, *message;
	size_t path_size, message_size;
};

static int check_object(
    struct check *c, const struct api_field *fields, const json_t *o, const char *prefix);

static int
wrong(struct check *c, const char *prefix, const char *name, const char *what)
{
	snprintf(c->path, c->path_size, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
	snprintf(c->message, c->message_size, "%s", what);
	return -1;
}

static int
check_string(struct check *c, const struct api_field *f, const json_t *v, const char *prefix)
{
	char what[96];

	if (!json_is_string(v))
		return wrong(c, prefix, f->name, "must be a string");
	if (f->max > 0 &&
	    (json_string_length(v) < (size_t)f->min || json_string_length(v) > (size_t)f->max)) {
		snprintf(what, sizeof(what), "must have %" PRId64 " to %" PRId64 " bytes", f->min,
		    f->max);
		return wrong(c, prefix, f->name, what);
	}
	return 0;
}

static int
check_int(struct check *c, const struct api_field *f, const json_t *v, const char *prefix)
{
	char what[96];

	if (!json_is_integer(v))
		return wrong(c, prefix, f->name, "must be an integer");
	if (json_integer_value(v) < f->min || json_integer_value(v) > f->max) {
		snprintf(what, sizeof(what), "must be %" PRId64 " to %" PRId64, f->min, f->max);
		return wrong(c, prefix, f->name, what);
	}
	return 0;
}

static int
check_strings(struct check *c, const struct api_field *f, const json_t *v, const char *prefix)
{
	char what[96];
	const json_t *item;
	size_t i;

	if (!json_is_array(v))
		return wrong(c, prefix, f->name, "must be an array of strings");
	if (json_array_size(v) < (size_t)f->min || json_array_size(v) > (size_t)f->max) {
		snprintf(what, sizeof(what), "must have %" PRId64 " to %" PRId64 " items", f->min,
		    f->max);
		return wrong(c, prefix, f->name, what);
	}
	for (i = 0; i < json_array_size(v); i++) {
		item = json_array_get(v, i);
		if (json_is_string(item) && json_string_length(item) > 0 &&
		    json_string_length(item) <= 128)
			continue;
		snprintf(what, sizeof(what), "%s[%zu]", f->name, i);
		return wrong(c, prefix, what, "must be a string of 1 to 128 bytes");
	}
	return 0;
}

static int
check_field(struct check *c, const struct api_field *f, const json_t *v, const char *prefix)
{
	char inner[64], what[160];

	switch (f->type) {
	case API_STRING:
		return check_string(c, f, v, prefix);
	case API_INT:
		return check_int(c, f, v, prefix);
	case API_BOOL:
		return json_is_boolean(v) ? 0 : wrong(c, prefix, f->name, "must be true or false");
	case API_ENUM:
		if (json_is_string(v) && api_in_values(f->values, json_string_value(v)))
			return 0;
		snprintf(what, sizeof(what), "must be one of %s", f->values);
		return wrong(c, prefix, f->name, what);
	case API_STRINGS:
		return check_strings(c, f, v, prefix);
	case API_OBJECT:
		if (!json_is_object(v))
			return wrong(c, prefix, f->name, "must be an object");
		if (f->fields == NULL)
			return 0;
		snprintf(
		    inner, sizeof(inner), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", f->name);
		return check_object(c, f->fields, v, inner);
	case API_LIST:
		return wrong(
		    c, prefix, f->name, "is not taken"); /* no parameter is a list of objects */
	case API_ID:
		if ((json_is_string(v) && json_string_length(v) <= 64) || json_is_integer(v))
			return 0;
		return wrong(c, prefix, f->name, "must be a string or an integer");
	case API_FD:
		if (json_is_integer(v) && json_integer_value(v) >= 0 &&
		    json_integer_value(v) < API_FDS_MAX)
			return 0;
		return wrong(c, prefix, f->name, "must be the number of a descriptor, 0 to 7");
	case API_ANY_TYPE:
		return 0;
	}
	return 0;
}

static int
plain_name(const char *s)
{
	return s[0] != '\0' && strlen(s) <= 32 &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789_$-")] == '\0';
}

static int
check_object(struct check *c, const struct api_field *fields, const json_t *o, const char *prefix)
{
	/* reading only: jansson's iterators want no const */
	json_t *obj = (json_t *)(uintptr_t)o, *v;
	const struct api_field *f;
	const char *key;

	json_object_foreach(obj, key, v)
	{
		for (f = fields; f != NULL && f->name != NULL; f++)
			if (strcmp(f->name, key) == 0)
				break;
		if (f == NULL || f->name == NULL)
			return wrong(c, prefix, plain_name(key) ? key : "?", "unknown parameter");
		if (check_field(c, f, v, prefix) == -1)
			return -1;
	}
	for (f = fields; f != NULL && f->name != NULL; f++)
		if ((f->flags & API_REQUIRED) && json_object_get(o, f->name) == NULL)
			return wrong(c, prefix, f->name, "is missing");
	return 0;
}

int
validate_params(const struct api_method *m, const json_t *params, char *path, size_t path_size,
    char *message, size_t message_size)
{
	static const struct api_field none[] = {{.name = NULL}};
	struct check c = {path, message, path_size, message_size};
	json_t *empty = NULL;
	int r;

	if (params == NULL && (params = empty = json_object()) == NULL)
		return wrong(&c, "", "params", "out of memory");
	r = check_object(&c, m->params != NULL ? m->params : none, params, "");
	json_decref(empty);
	return r;
}
