/* Progress of a long method, for who watches. */
#include <inttypes.h>
#include <string.h>

#include "apid/wardctl/ctl.h"
#include "common/clock.h"

#define DRAW_MS 100 /* not more often */

static int drawn;

void
ctl_progress_clear(struct ctl *c)
{
	if (drawn)
		fputs("\r\033[K", c->err);
	drawn = 0;
}

void
ctl_progress(struct ctl *c, const json_t *notification)
{
	static int64_t last_ms;
	const json_t *p = json_object_get(notification, "params");
	int64_t done = json_integer_value(json_object_get(p, "done"));
	int64_t total = json_integer_value(json_object_get(p, "total"));
	const char *unit = json_string_value(json_object_get(p, "unit"));
	int64_t now = clock_mono_ms();

	if (!c->err_tty || c->quiet || total <= 0 || unit == NULL ||
	    (drawn && now - last_ms < DRAW_MS))
		return;
	last_ms = now;
	drawn = 1;
	fprintf(c->err, "\r%3" PRId64 "%%  %" PRId64 " of %" PRId64 " ",
	    done >= total ? 100 : (int64_t)((double)done * 100 / (double)total), done, total);
	ctl_put_text(c->err, unit);
	fputs("\033[K", c->err);
	fflush(c->err);
}

int
ctl_call_long(struct ctl *c, const char *method, json_t *params, json_t **result)
{
	json_t *v = NULL;
	int64_t id;
	int r;

	*result = NULL;
	if (params == NULL)
		params = json_object();
	json_object_set_new(params, "progress_token", json_integer(1));
	if ((id = ctl_send(c, method, params)) == -1) {
		ctl_say(c, "the request could not be sent");
		return EX_NO_SERVICE;
	}
	while ((r = ctl_next(c, -1, &v)) == 0) {
		const json_t *its = json_object_get(v, "id");

		if (json_object_get(v, "method") != NULL) {
			ctl_progress(c, v);
		} else if (json_is_null(its) || json_integer_value(its) == id) {
			ctl_progress_clear(c);
			*result = json_incref(json_object_get(v, "result"));
			if (*result == NULL)
				r = ctl_error(c, json_object_get(v, "error"));
			json_decref(v);
			return r;
		}
		json_decref(v);
	}
	ctl_progress_clear(c);
	return r;
}
