/* JSON Schema (draft 2020-12) out of the table of the API. */
#include <string.h>

#include "apid/rpc/api_table.h"

static json_t *schema_object(const struct api_field *f, int closed);

static json_t *
schema_values(const char *values)
{
	json_t *list = json_array();

	for (const char *p = values; p != NULL && *p != '\0';) {
		const char *bar = strchr(p, '|');
		size_t n = bar != NULL ? (size_t)(bar - p) : strlen(p);

		json_array_append_new(list, json_stringn(p, n));
		p = bar != NULL ? bar + 1 : NULL;
	}
	return list;
}

static void
schema_bounds(json_t *o, const struct api_field *f, const char *lo, const char *hi)
{
	if (f->max == 0)
		return;
	json_object_set_new(o, lo, json_integer(f->min));
	json_object_set_new(o, hi, json_integer(f->max));
}

/* closed: a parameter, where nothing unknown is taken; else a field of an answer, which may grow
 * and may be null. */
static json_t *
schema_field(const struct api_field *f, int closed)
{
	json_t *o = NULL;

	switch (f->type) {
	case API_STRING:
		o = json_pack("{s:s}", "type", "string");
		if (closed) /* bytes, but characters are never more */
			schema_bounds(o, f, "minLength", "maxLength");
		break;
	case API_INT:
		o = json_pack("{s:s}", "type", "integer");
		schema_bounds(o, f, "minimum", "maximum");
		break;
	case API_BOOL:
		o = json_pack("{s:s}", "type", "boolean");
		break;
	case API_ENUM: /* new words may come in answers */
		o = json_pack("{s:s}", "type", "string");
		json_object_set_new(o, closed ? "enum" : "examples", schema_values(f->values));
		break;
	case API_STRINGS:
		o = json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string");
		if (closed)
			schema_bounds(o, f, "minItems", "maxItems");
		break;
	case API_OBJECT:
		o = f->fields != NULL ? schema_object(f->fields, closed)
				      : json_pack("{s:s}", "type", "object");
		break;
	case API_LIST:
		o = json_pack(
		    "{s:s, s:o}", "type", "array", "items", schema_object(f->fields, closed));
		break;
	case API_ID:
		o = json_pack("{s:[s,s], s:i}", "type", "string", "integer", "maxLength", 64);
		break;
	case API_FD:
		o = json_pack(
		    "{s:s, s:i, s:i}", "type", "integer", "minimum", 0, "maximum", API_FDS_MAX - 1);
		break;
	case API_ANY_TYPE:
		o = json_object();
		break;
	}
	json_object_set_new(o, "description", json_string(f->doc));
	return o;
}

static json_t *
schema_object(const struct api_field *f, int closed)
{
	json_t *props = json_object(), *required = json_array();
	json_t *o = json_pack("{s:s}", "type", "object");

	for (; f != NULL && f->name != NULL; f++) {
		json_object_set_new(props, f->name, schema_field(f, closed));
		if (f->flags & API_REQUIRED)
			json_array_append_new(required, json_string(f->name));
	}
	json_object_set_new(o, "properties", props);
	if (json_array_size(required) > 0)
		json_object_set(o, "required", required);
	json_decref(required);
	if (closed)
		json_object_set_new(o, "additionalProperties", json_false());
	return o;
}

static json_t *
schema_roles(unsigned bits)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < API_NROLES; i++)
		if (bits & (1u << i))
			json_array_append_new(list, json_string(api_role_names[i]));
	return list;
}

static json_t *
schema_method(const struct api_method *m)
{
	return json_pack("{s:s, s:o, s:b, s:o, s:o}", "description", m->doc, "roles",
	    schema_roles(m->role), "notification", (m->flags & API_NOTIFY) != 0, "params",
	    schema_object(m->params, 1), "result", schema_object(m->result, 0));
}

static json_t *
schema_event(const struct api_event *e)
{
	json_t *o = schema_object(api_event_envelope, 0);
	json_t *props = json_object_get(o, "properties");

	json_object_set_new(props, "type", json_pack("{s:s}", "const", e->type));
	json_object_set_new(props, "body", schema_object(e->body, 0));
	json_object_set_new(o, "description", json_string(e->doc));
	json_object_set_new(o, "durable", json_boolean(e->durable));
	json_object_set_new(o, "roles", schema_roles(e->role));
	return o;
}

json_t *
api_schema(unsigned roles, const char *type)
{
	json_t *methods = json_object(), *events = json_object();

	for (size_t i = 0; i < api_nmethods; i++)
		if ((api_methods[i].role & roles) &&
		    (type == NULL || strcmp(type, api_methods[i].name) == 0))
			json_object_set_new(
			    methods, api_methods[i].name, schema_method(&api_methods[i]));
	for (size_t i = 0; i < api_nevents; i++)
		if ((api_events[i].role & roles) &&
		    (type == NULL || strcmp(type, api_events[i].type) == 0))
			json_object_set_new(
			    events, api_events[i].type, schema_event(&api_events[i]));
	if (json_object_size(methods) + json_object_size(events) == 0) {
		json_decref(methods);
		json_decref(events);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:o, s:o}", "$schema",
	    "https://json-schema.org/draft/2020-12/schema", "title", "ward API " API_VERSION,
	    "methods", methods, "events", events);
}
