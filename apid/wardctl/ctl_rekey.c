/* wardctl store rekey: to begin it, to look at it, to wait for its end. */
#include <string.h>

#include "apid/wardctl/ctl.h"

#define LOOK_MS 500

static int
own_option(void *arg, const char *name, const char *value)
{
	int *wait = arg;

	(void)value;
	if (strcmp(name, "wait") != 0)
		return 0;
	*wait = 1;
	return 1;
}

static const char *
word(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

/* Bytes of the databases that are copied, on a terminal. */
static void
draw(struct ctl *c, const json_t *result)
{
	const json_t *parts = json_object_get(result, "parts");
	json_int_t done = 0, total = 0;
	json_t *n;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *p = json_array_get(parts, i);

		done += json_integer_value(json_object_get(p, "done"));
		total += json_integer_value(json_object_get(p, "total"));
	}
	n = json_pack(
	    "{s:{s:I, s:I, s:s}}", "params", "done", done, "total", total, "unit", "bytes");
	ctl_progress(c, n);
	json_decref(n);
}

static int
in_trouble(const json_t *result)
{
	const json_t *parts = json_object_get(result, "parts");
	int any = word(result, "trouble")[0] != '\0';

	for (size_t i = 0; i < json_array_size(parts); i++)
		any |= word(json_array_get(parts, i), "trouble")[0] != '\0';
	return any;
}

/* The trouble of any part, by its account. */
static void
say_troubles(struct ctl *c, const json_t *result)
{
	const json_t *parts = json_object_get(result, "parts");

	if (word(result, "trouble")[0] != '\0')
		ctl_say(c, "it waits: %s", word(result, "trouble"));
	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *p = json_array_get(parts, i);

		if (word(p, "trouble")[0] != '\0')
			ctl_say(c, "%s waits: %s",
			    word(p, "account")[0] != '\0' ? word(p, "account") : "service",
			    word(p, "trouble"));
	}
}

static void
put(struct ctl *c, const struct api_method *m, const json_t *result)
{
	if (!ctl_human(c)) {
		ctl_put_json(c, result); /* one object, also with its list */
		return;
	}
	ctl_put_result(c, m->result, result);
	say_troubles(c, result);
}

int
ctl_store_rekey(struct ctl *c, int argc, char **argv)
{
	const struct api_method *m = api_method_find("store.rekey");
	json_t *params, *result = NULL;
	int wait = 0, told = 0, r = ctl_params(c, m, argc, argv, own_option, &wait, &params);

	if (r != 0)
		return r;
	if ((r = ctl_connect(c)) != 0) {
		json_decref(params);
		return r;
	}
	ctl_catch_signals();
	r = ctl_call(c, m->name, params, &result);
	while (r == 0 && wait && strcmp(word(result, "state"), "running") == 0) {
		json_t *ignored = NULL;

		if (in_trouble(result) && !told) { /* else it would only look slow */
			ctl_progress_clear(c);
			say_troubles(c, result);
		}
		told = in_trouble(result);
		draw(c, result);
		if ((r = ctl_next(c, LOOK_MS, &ignored)) != 0) /* nothing comes: it is the pause */
			break;
		json_decref(ignored);
		json_decref(result);
		result = NULL;
		r = ctl_call(c, m->name, json_pack("{s:b}", "look", 1), &result);
	}
	ctl_progress_clear(c);
	if (r == 0)
		put(c, m, result);
	json_decref(result);
	return r;
}
