/* What this client tells of itself, as data that can be renewed without a new ward, and until when
 * the service takes it. */
#include "apid/session/client.h"

#include <stdio.h>
#include <string.h>

#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

#define DAY_MS      INT64_C(86400000)
#define SOON_MS     (14 * DAY_MS) /* before the end of a version health warns */
#define LEAST_MS    (3 * DAY_MS)  /* a nearer end is taken for this (page 12, 3) */
#define EXPIRES_MAX INT64_C(99999999999)

const char *
client_version(const struct service *s, char out[CLIENT_VERSION_MAX])
{
	(void)snprintf(out, CLIENT_VERSION_MAX, "2.3000.%lld",
	    (long long)config_int(s->config, "client", "revision"));
	return out;
}

int64_t
engine_client_age_s(const struct service *s)
{
	int64_t age = clock_wall_ms() / 1000 - config_date(s->config, "client", "date");

	return age < 0 ? 0 : age;
}

json_t *
engine_client_version(const struct service *s)
{
	char version[CLIENT_VERSION_MAX];

	return json_string(client_version(s, version));
}

const char *
client_query_id(const struct service *s, const char *name, const char *fallback)
{
	const char *id = config_query(s->config, name);

	return id != NULL ? id : fallback;
}

/* ------------------------------------------------------------------ until when */

static void
written(const struct unit_result *r, void *arg)
{
	/* best effort: the service says it at each login */
}

static void
keep(struct account *a, const char *version, int64_t expires_ms)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct unit *u = a->opened ? unit_open(a) : NULL;

	(void)snprintf(
	    a->rec.client_expires_version, sizeof(a->rec.client_expires_version), "%s", version);
	a->rec.client_expires_ms = expires_ms;
	if (u == NULL)
		return;
	rec.client_expires_version = pb_str(version);
	rec.has_client_expires_ms = 1;
	rec.client_expires_ms = expires_ms;
	unit_device(u, &rec);
	unit_commit(u, written, NULL);
}

void
client_expiration(struct account *a, const struct node *n)
{
	char version[CLIENT_VERSION_MAX];
	int64_t now = clock_wall_ms(), t = node_get_int(n, "t", EXPIRES_MAX), had;

	if (node_get(n, "t") == NULL) {
		if (a->rec.client_expires_ms != 0)
			keep(a, "", 0);
		return;
	}
	if (t <= 0) /* malformed */
		return;
	t *= 1000;
	if (t < now + LEAST_MS)
		t = now + LEAST_MS;
	had = client_expires_ms(a);
	if (had != 0 && had <= t) /* the sooner one counts */
		return;
	log_warnx("account %s: the service will refuse client version %s from %lld on (seconds): "
		  "renew the file of client data",
	    a->name, client_version(a->svc, version), (long long)(t / 1000));
	keep(a, version, t);
}

int64_t
client_expires_ms(const struct account *a)
{
	char version[CLIENT_VERSION_MAX];

	if (strcmp(a->rec.client_expires_version, client_version(a->svc, version)) != 0)
		return 0; /* said of another version */
	return a->rec.client_expires_ms;
}

/* ------------------------------------------------------------------ health */

void
client_health(const struct service *s, json_t *checks)
{
	const char *status = "ok", *reason = "current", *action = "none";
	int64_t since = config_date(s->config, "client", "date") * 1000, soonest = 0, e;

	for (size_t i = 0; i < s->naccounts; i++) {
		e = client_expires_ms(s->accounts[i]);
		if (e != 0 && (soonest == 0 || e < soonest))
			soonest = e;
		if (s->accounts[i]->state == ACCOUNT_OUTDATED)
			reason = "client_outdated";
	}
	if (strcmp(reason, "client_outdated") == 0) {
		status = "failing";
	} else if (soonest != 0 && soonest < clock_wall_ms() + SOON_MS) {
		status = "degraded";
		reason = "client_expires";
	} else if (engine_client_age_s(s) * 1000 > config_int(s->config, "client", "max_age")) {
		status = "degraded";
		reason = "client_old";
	}
	if (strcmp(status, "ok") != 0)
		action = "upgrade";
	json_array_append_new(checks,
	    json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", "client_version", "status", status,
		"reason", reason, "since_ms", (json_int_t)since, "user_action", action));
	if (soonest != 0)
		json_object_set_new(json_array_get(checks, json_array_size(checks) - 1), "until_ms",
		    json_integer(soonest));
}
