/* A pattern for stanzas, for faults and for `expect`. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/match.h"
#include "tests/sim/nodes.h"

static const struct field {
	const char *name;
	size_t offset, size;
} fields[] = {
#define F(name, member)                                                                            \
	{                                                                                          \
		name, offsetof(struct match, member), sizeof(((struct match *)0)->member)          \
	}
    F("account", account),
    F("tag", tag),
    F("id", id),
    F("xmlns", xmlns),
    F("type", type),
    F("child", child),
    F("from", from),
    F("to", to),
    F("class", cls),
#undef F
};

static const struct field *
field_named(const char *name)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

static int
set_direction(struct match *m, const char *text)
{
	if (strcmp(text, "in") == 0)
		m->direction = DIR_IN;
	else if (strcmp(text, "out") == 0)
		m->direction = DIR_OUT;
	else
		return -1;
	return 0;
}

int
match_parse(const json_t *o, struct match *m, const char **why)
{
	const char *key;
	json_t *v;

	memset(m, 0, sizeof(*m));
	m->device = m->direction = -1;
	*why = "match: an object with text fields, device, conn and first";
	if (!json_is_object(o))
		return -1;
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		const struct field *f = field_named(key);

		if (f != NULL && json_is_string(v) && json_string_length(v) < f->size)
			memcpy(
			    (char *)m + f->offset, json_string_value(v), json_string_length(v) + 1);
		else if (strcmp(key, "device") == 0 && json_is_integer(v))
			m->device = (int)json_integer_value(v);
		else if (strcmp(key, "conn") == 0 && json_is_integer(v))
			m->conn = (uint64_t)json_integer_value(v);
		else if (strcmp(key, "first") == 0 && json_is_boolean(v))
			m->first = json_is_true(v);
		else if (strcmp(key, "direction") != 0 || !json_is_string(v) ||
			 set_direction(m, json_string_value(v)) != 0)
			return -1;
	}
	return 0;
}

static int
attr_is(const struct node *n, const char *key, const char *want)
{
	return want[0] == '\0' || strcmp(nodes_attr(n, key), want) == 0;
}

static int
sent_again(const struct node *n)
{
	const struct node *enc;

	for (size_t i = 0; (enc = nodes_nth(n, "enc", i)) != NULL; i++)
		if (nodes_attr(enc, "count")[0] != '\0')
			return 1;
	return 0;
}

int
match_hit(const struct match *m, const struct party *p, enum direction dir, const struct node *n)
{
	if (m->direction != -1 && m->direction != (int)dir)
		return 0;
	if (m->account[0] != '\0' &&
	    strcmp(m->account, p->account == NULL ? "-" : p->account->name) != 0)
		return 0;
	if ((m->device != -1 && m->device != p->device) || (m->conn != 0 && m->conn != p->conn))
		return 0;
	if (m->tag[0] != '\0' && strcmp(m->tag, n->tag) != 0)
		return 0;
	if (m->first && sent_again(n))
		return 0;
	return attr_is(n, "id", m->id) && attr_is(n, "xmlns", m->xmlns) &&
	       attr_is(n, "type", m->type) && attr_is(n, "from", m->from) &&
	       attr_is(n, "to", m->to) && attr_is(n, "class", m->cls) &&
	       (m->child[0] == '\0' || nodes_has(n, m->child, 3));
}

json_t *
match_json(const struct match *m)
{
	json_t *o = json_object();

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (((const char *)m + fields[i].offset)[0] != '\0')
			json_object_set_new(
			    o, fields[i].name, json_string((const char *)m + fields[i].offset));
	if (m->device != -1)
		json_object_set_new(o, "device", json_integer(m->device));
	if (m->direction != -1)
		json_object_set_new(
		    o, "direction", json_string(m->direction == DIR_IN ? "in" : "out"));
	if (m->first)
		json_object_set_new(o, "first", json_true());
	if (m->conn != 0)
		json_object_set_new(o, "conn", json_integer((json_int_t)m->conn));
	return o;
}
