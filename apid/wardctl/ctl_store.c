/* wardctl store check, snapshot, stats. */
#include <string.h>

#include "apid/wardctl/ctl.h"

/* Words and options of the method, then the call, with its progress. */
static int
long_task(struct ctl *c, const char *method, int argc, char **argv, json_t **result)
{
	const struct api_method *m = api_method_find(method);
	json_t *params;
	int r = ctl_params(c, m, argc, argv, NULL, NULL, &params);

	if (r != 0)
		return r;
	if ((r = ctl_connect(c)) != 0) {
		json_decref(params);
		return r;
	}
	ctl_catch_signals(); /* then leave: that cancels it */
	r = ctl_call_long(c, method, params, result);
	if (r == EX_UNKNOWN && !(m->flags & API_ACTS))
		r = EX_NO_SERVICE; /* nothing can have happened */
	return r;
}

/* What stored says of its end. */
static void
put_end(struct ctl *c, const json_t *result)
{
	const char *text = json_string_value(json_object_get(result, "text"));

	if (!ctl_human(c)) {
		ctl_put_json(c, result);
		return;
	}
	ctl_put_text(c->out, text != NULL ? text : "done");
	fputc('\n', c->out);
}

int
ctl_store_check(struct ctl *c, int argc, char **argv)
{
	json_t *result = NULL;
	int r = long_task(c, "store.check", argc, argv, &result);

	if (r == 0)
		put_end(c, result);
	else if (r == EX_INTERNAL) /* what is damaged was said */
		ctl_say(c, "if something is damaged: keep the data folder as it is, and restore "
			   "the last backup into a new one (see wardctl(1), restore)");
	json_decref(result);
	return r;
}

int
ctl_store_snapshot(struct ctl *c, int argc, char **argv)
{
	json_t *result = NULL;
	int r = long_task(c, "store.snapshot", argc, argv, &result);

	if (r == 0)
		put_end(c, result);
	json_decref(result);
	return r;
}

int
ctl_store_stats(struct ctl *c, int argc, char **argv)
{
	const struct api_method *m = api_method_find("store.stats");
	json_t *params, *result = NULL;
	int r = ctl_params(c, m, argc, argv, NULL, NULL, &params);

	if (r != 0)
		return r;
	if ((r = ctl_connect(c)) != 0) {
		json_decref(params);
		return r;
	}
	if ((r = ctl_call(c, m->name, params, &result)) == 0) {
		if (ctl_human(c))
			ctl_put_result(c, m->result, result);
		else
			ctl_put_json(c, result); /* one object, also with its lists */
	} else if (r == EX_UNKNOWN) {
		r = EX_NO_SERVICE;
	}
	json_decref(result);
	return r;
}
