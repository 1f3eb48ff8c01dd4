/* The table of the API against what is made of it: handlers, schema, checks of parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apid/rpc/api_table.h"
#include "apid/rpc/json_out.h"
#include "apid/rpc/methods.h"
#include "apid/rpc/validate.h"

/* What is announced works, and what works is announced. */
static void
every_method_has_a_handler(void **state)
{
	assert_int_equal(method_nbindings, api_nmethods);
	for (size_t i = 0; i < api_nmethods; i++) {
		assert_non_null(method_handler(i));
		for (size_t k = i + 1; k < api_nmethods; k++)
			assert_string_not_equal(api_methods[i].name, api_methods[k].name);
	}
	for (size_t i = 0; i < method_nbindings; i++)
		assert_non_null(api_method_find(method_bindings[i].name));
	assert_true(api_nmethods <= RPC_METHODS_MAX);
	assert_true(api_nerror_classes + 2 <= RPC_CODES_MAX);
	assert_null(method_handler(api_nmethods));
}

static void
check_fields(const char *where, const struct api_field *f)
{
	for (; f != NULL && f->name != NULL; f++) {
		if (f->doc == NULL || f->doc[0] == '\0')
			fail_msg("%s: %s has no word of explanation", where, f->name);
		assert_true(
		    strspn(f->name, "abcdefghijklmnopqrstuvwxyz0123456789_$") == strlen(f->name));
		if (f->type == API_ENUM)
			assert_non_null(f->values);
		if (f->type == API_OBJECT || f->type == API_LIST)
			check_fields(f->name, f->fields);
		if (f->type == API_INT && f->min > f->max)
			fail_msg("%s: bounds of %s", where, f->name);
	}
}

/* Bounds that do not bound would let anything into the engine. */
static void
the_table_is_sound(void **state)
{
	for (size_t i = 0; i < api_nmethods; i++) {
		const struct api_method *m = &api_methods[i];

		assert_non_null(strchr(m->name, '.'));
		assert_int_not_equal(m->role, 0);
		assert_true(m->doc[strlen(m->doc) - 1] == '.');
		check_fields(m->name, m->params);
		check_fields(m->name, m->result);
		assert_non_null(m->result);
		for (const struct api_field *f = m->params; f != NULL && f->name != NULL; f++)
			if (f->type == API_STRING || f->type == API_STRINGS || f->type == API_INT)
				assert_true(f->max > 0);
	}
	for (size_t i = 0; i < api_nevents; i++)
		check_fields(api_events[i].type, api_events[i].body);
	check_fields("event", api_event_envelope);
}

static void
schema_is_json(void **state)
{
	json_t *all = api_schema(API_ANY, NULL), *few = api_schema(API_SEND, NULL), *again;
	char *text = json_dumps(all, JSON_COMPACT);

	again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(again);
	assert_true(json_equal(all, again));
	assert_int_equal(json_object_size(json_object_get(all, "methods")), api_nmethods);
	assert_int_equal(json_object_size(json_object_get(all, "events")), api_nevents);
	assert_null(json_object_get(json_object_get(few, "methods"), "events.fetch"));
	assert_non_null(json_object_get(json_object_get(few, "methods"), "message.send"));
	assert_null(json_object_get(json_object_get(few, "events"), "message.received"));
	assert_null(api_schema(API_ANY, "no.such"));
	free(text);
	json_decref(all);
	json_decref(few);
	json_decref(again);
}

static void
words(void **state)
{
	assert_true(api_in_values("qr|code", "qr"));
	assert_true(api_in_values("qr|code", "code"));
	assert_false(api_in_values("qr|code", "q"));
	assert_false(api_in_values("qr|code", "cod"));
	assert_false(api_in_values("qr|code", "codes"));
	assert_false(api_in_values("qr|code", ""));
	assert_false(api_in_values("qr|code", "qr|code"));
	assert_int_equal(api_role_parse("read", 4), API_READ);
	assert_int_equal(api_role_parse("readx", 5), 0);
	assert_int_equal(api_role_parse("all", 3), API_ANY);
}

/* Every parameter of every method: of the wrong type, too small, too big. */
static void
bounds_hold(void **state)
{
	char path[128], message[160];

	for (size_t i = 0; i < api_nmethods; i++)
		for (const struct api_field *f = api_methods[i].params;
		     f != NULL && f->name != NULL; f++) {
			json_t *p = json_object();

			json_object_set_new(p, f->name, json_real(1.5));
			if (f->type != API_ANY_TYPE) {
				assert_int_equal(validate_params(&api_methods[i], p, path,
						     sizeof(path), message, sizeof(message)),
				    -1);
				assert_string_equal(path, f->name);
			}
			if (f->type == API_STRING) {
				char *big = malloc((size_t)f->max + 2);

				memset(big, 'a', (size_t)f->max + 1);
				big[f->max + 1] = '\0';
				json_object_set_new(p, f->name, json_string(big));
				assert_int_equal(validate_params(&api_methods[i], p, path,
						     sizeof(path), message, sizeof(message)),
				    -1);
				assert_string_equal(path, f->name);
				free(big);
			}
			if (f->type == API_INT) {
				json_object_set_new(p, f->name, json_integer(f->max + 1));
				assert_int_equal(validate_params(&api_methods[i], p, path,
						     sizeof(path), message, sizeof(message)),
				    -1);
				json_object_set_new(p, f->name, json_integer(f->min - 1));
				assert_int_equal(validate_params(&api_methods[i], p, path,
						     sizeof(path), message, sizeof(message)),
				    -1);
			}
			json_decref(p);
		}
}

/* Our writer against jansson's reader. */
static void
strings_out(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} rows[] = {
	    {"plain", 5, "\"plain\""},
	    {"", 0, "\"\""},
	    {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
	    {"\n\r\t\b\f", 5, "\"\\n\\r\\t\\b\\f\""},
	    {"\x01\x1f\x7f", 3, "\"\\u0001\\u001f\\u007f\""},
	    {"a\0b", 3, "\"a\\u0000b\""},
	    {"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 12,
		"\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
	    {"\xff", 1, "\"\xef\xbf\xbd\""},
	    {"\xc3", 1, "\"\xef\xbf\xbd\""},
	    {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	    {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	    {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	    {"\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT;
		json_t *v;

		json_out_string(&b, rows[i].in, rows[i].len);
		assert_string_equal(buf_cstr(&b), rows[i].out);
		v = json_loads(buf_cstr(&b), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_non_null(v);
		json_decref(v);
		buf_clear(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_method_has_a_handler),
	    cmocka_unit_test(the_table_is_sound),
	    cmocka_unit_test(schema_is_json),
	    cmocka_unit_test(words),
	    cmocka_unit_test(bounds_hold),
	    cmocka_unit_test(strings_out),
	};

	return cmocka_run_group_tests_name("apid rpc: table", tests, NULL, NULL);
}
