/* What clients may ask of an account: what it is, to pause, to resume, to connect anew. */
#include <stdio.h>
#include <stdlib.h>

#include "apid/session/account.h"
#include "apid/session/call.h"
#include "apid/session/connect.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"

static void
set_jid(json_t *o, const char *key, const struct jid *j, int has)
{
	char text[JID_TEXT_MAX];

	json_object_set_new(o, key, has ? json_string(jid_format(j, text)) : json_null());
}

json_t *
account_describe(const struct account *a)
{
	json_t *o = state_body(a);
	char phone[JID_USER_MAX + 2];

	json_object_set_new(o, "account", json_string(a->name));
	set_jid(o, "jid", &a->dev.jid, a->dev.linked && a->dev.has_jid);
	set_jid(o, "lid", &a->dev.lid, a->dev.linked && a->dev.has_lid);
	if (a->dev.linked && a->dev.has_jid) {
		(void)snprintf(phone, sizeof(phone), "+%s", a->dev.jid.user);
		json_object_set_new(o, "phone", json_string(phone));
		json_object_set_new(o, "device_id", json_integer(a->dev.jid.device));
	} else {
		json_object_set_new(o, "phone", json_null());
		json_object_set_new(o, "device_id", json_null());
	}
	json_object_set_new(o, "push_name",
	    a->dev.linked && a->rec.push_name[0] != '\0' ? json_string(a->rec.push_name)
							 : json_null());
	json_object_set_new(o, "platform",
	    a->dev.linked && a->rec.platform[0] != '\0' ? json_string(a->rec.platform)
							: json_null());
	return o;
}

struct pausing {
	struct account *a;
	struct call *call;
	int paused;
};

static void
pause_written(const struct unit_result *r, void *arg)
{
	struct pausing *p = arg;
	struct account *a = p->a;

	if (!r->ok) {
		struct api_error e = api_error_store(r->reason);

		call_fail(p->call, &e);
	} else {
		a->rec.paused = p->paused;
		if (p->paused) {
			connect_stop(a);
			if (a->dev.linked)
				state_set(a, ACCOUNT_STOPPED, "paused", 0, "operator", 0, 0);
		} else if (a->dev.linked && !a->link_wanted) {
			connect_start(a, "resumed");
		}
		call_ok(p->call, account_describe(a));
	}
	free(p);
}

static void
set_paused(struct account *a, const void *client, int paused, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	struct pausing *p;
	struct unit *u;

	if (!a->opened) {
		struct api_error e = api_error_closed(a);

		call_fail(c, &e);
		return;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL || (u = unit_open(a)) == NULL) {
		free(p);
		call_failf(c, -2, "internal", 1, "out of memory");
		return;
	}
	p->a = a;
	p->call = c;
	p->paused = paused;
	rec.has_paused = 1;
	rec.paused = paused;
	unit_device(u, &rec);
	unit_commit(u, pause_written, p);
}

void
account_pause(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	set_paused(a, client, 1, fn, arg);
}

void
account_resume(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	set_paused(a, client, 0, fn, arg);
}

void
account_reconnect(struct account *a, const void *client, engine_done_fn *fn, void *arg)
{
	struct call *c = call_new(a->svc, client, fn, arg);

	if (!a->opened || !a->dev.linked) {
		call_failf(c, -7, "unlinked", 0, "the account is not linked");
		return;
	}
	if (a->rec.paused) {
		call_failf(c, -1, "not_allowed", 0, "the account is paused; resume it");
		return;
	}
	connect_again(a, "reconnect");
	call_ok(c, account_describe(a));
}
