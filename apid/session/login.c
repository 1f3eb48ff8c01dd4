/* From <success> to online: the sequence after a login and the backlog of the service.
 *
 *	login_success -> login_booked -> login_prekeys -> login_active -> login_backlog ->
 *login_online
 */
#include "apid/session/login.h"

#include <stdlib.h>
#include <string.h>

#include "apid/message/give_up.h"
#include "apid/message/held.h"
#include "apid/message/contacts.h"
#include "apid/message/mark.h"
#include "apid/message/outbox.h"
#include "apid/message/phone_ask.h"
#include "apid/message/receipts.h"
#include "apid/message/recv.h"
#include "apid/message/tctoken.h"
#include "apid/session/client.h"
#include "apid/session/connect.h"
#include "apid/session/device_refresh.h"
#include "apid/session/devices.h"
#include "apid/session/dirty.h"
#include "apid/session/iq.h"
#include "apid/session/keys.h"
#include "apid/session/prekeys.h"
#include "apid/session/presence.h"
#include "apid/session/privacy.h"
#include "apid/session/restrict.h"
#include "apid/session/props.h"
#include "apid/session/resume.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "apid/session/unit.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/netd.pb-c.h"

#define BATCH          200
#define BATCH_PAUSE_MS 100
#define SILENCE_MS     60000
#define ACTIVE_MAX_MS  60000 /* the longest wait before a refused <active/> is asked for again */
#define WEEK_MS        INT64_C(604800000)
#define THREE_DAYS_MS  INT64_C(259200000)
#define PREVIEW_MAX    10000000

struct login {
	struct account *a;
	enum {
		LOGIN_OUT,
		LOGIN_BOOKING,
		LOGIN_PREKEYS,
		LOGIN_ACTIVE,
		LOGIN_BACKLOG,
		LOGIN_DONE
	} step;
	struct unit *unit;
	uint64_t iq, active_iq;
	int64_t expected, seen, count; /* stanzas of the backlog */
	int pulling;           /* the backlog has not ended: each batch is followed by a request */
	int batch_open;        /* the first stanza of the batch asked for has not come yet */
	int ended_early;       /* <offline> came before we were active */
	const char *how;       /* it ended, but not all of its messages are durable yet */
	uint64_t last;         /* recv_ended when they are */
	unsigned active_tries; /* <active/> was refused so often on this connection */
	struct event *next_batch, *silence, *active_again;
};

static void login_prekeys(struct login *l);
static void active_ask(evutil_socket_t fd, short what, void *arg);
static void login_online(struct login *l, const char *how);

/* ------------------------------------------------------------------ timers */

static void
ask_batch(struct login *l)
{
	struct node *ib = node_new("ib"), *b = node_new("offline_batch");

	node_setf(b, "count", "%d", BATCH);
	node_add(ib, b);
	(void)stanza_send(l->a, ib);
	l->batch_open = 1;
}

static void
next_batch(evutil_socket_t fd, short what, void *arg)
{
	struct login *l = arg;

	if (l->step >= LOGIN_BOOKING && l->pulling)
		ask_batch(l);
}

static void
silence(evutil_socket_t fd, short what, void *arg)
{
	struct login *l = arg;

	if (l->step != LOGIN_BACKLOG)
		return;
	login_online(l, "silence");
	if (l->pulling) /* if there is more nevertheless, it still comes */
		ask_batch(l);
}

static void
arm(struct event *ev, int ms)
{
	struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(ev, &tv);
}

struct login *
login_new(struct account *a)
{
	struct login *l = calloc(1, sizeof(*l));

	if (l == NULL)
		fatal("login_new");
	l->a = a;
	l->next_batch = evtimer_new(a->svc->base, next_batch, l);
	l->silence = evtimer_new(a->svc->base, silence, l);
	l->active_again = evtimer_new(a->svc->base, active_ask, l);
	if (l->next_batch == NULL || l->silence == NULL || l->active_again == NULL)
		fatalx("login_new: no event");
	return l;
}

void
login_free(struct login *l)
{
	if (l == NULL)
		return;
	unit_detach(l->unit);
	event_free(l->next_batch);
	event_free(l->silence);
	event_free(l->active_again);
	free(l);
}

void
login_disconnected(struct account *a)
{
	struct login *l = a->login;

	iq_cancel(a, l->active_iq);
	l->active_iq = 0;
	unit_detach(l->unit);
	l->unit = NULL;
	l->step = LOGIN_OUT;
	l->how = NULL;
	evtimer_del(l->next_batch);
	evtimer_del(l->silence);
	evtimer_del(l->active_again);
	keys_disconnected(a);
	props_disconnected(a);
	dirty_disconnected(a);
	device_refresh_disconnected(a);
}

int
login_in_backlog(const struct account *a)
{
	return a->login->step != LOGIN_DONE;
}

int
login_draining(const struct account *a)
{
	return login_in_backlog(a) || a->login->how != NULL;
}

/* ------------------------------------------------------------------ success */

void
login_session_mark(struct account *a)
{
	struct node *ib = node_new("ib"), *u = node_new("unified_session");

	node_setf(
	    u, "id", "%lld", (long long)((clock_wall_ms() + a->skew_ms + THREE_DAYS_MS) % WEEK_MS));
	node_add(ib, u);
	(void)stanza_send(a, ib);
}

static void
booked(const struct unit_result *r, void *arg)
{
	struct login *l = arg;
	struct account *a = l->a;

	l->unit = NULL;
	if (!r->ok) {
		account_store_failed(a, r->reason);
		return;
	}
	connect_refresh(a); /* the next handshake tells the new login counter */
	resume_keep(a);
	login_session_mark(a);
	login_prekeys(l);
}

/* A successful login counts; our LID may be new. */
static struct unit *
book(struct account *a)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	char lid[JID_TEXT_MAX], version[CLIENT_VERSION_MAX];
	struct unit *u = unit_open(a);

	if (u == NULL)
		return NULL;
	rec.has_login_counter = 1;
	rec.login_counter = a->rec.login_counter;
	rec.app_version = pb_str(client_version(a->svc, version));
	rec.has_app_version_ms = 1;
	rec.app_version_ms = config_date(a->svc->config, "client", "date") * 1000;
	if (a->dev.has_lid)
		rec.lid = pb_str(jid_format(&a->dev.lid, lid));
	unit_device(u, &rec);
	return u;
}

void
login_success(struct account *a, const struct node *n)
{
	struct login *l = a->login;
	int64_t t = node_get_int(n, "t", INT64_C(99999999999));
	Netd__LinkGood good = NETD__LINK_GOOD__INIT;
	struct jid lid;

	if (!a->dev.linked || a->logged_in) /* only the first of a connection counts */
		return;
	connect_logged_in(a);
	if (t > 0)
		a->skew_ms = t * 1000 - clock_wall_ms();
	if (node_get_jid(n, "lid", &lid) == 0 && lid.user[0] != '\0') {
		if (a->dev.has_lid && !jid_eq(&lid, &a->dev.lid))
			log_notice(
			    "account %s: the service tells another LID than before", a->name);
		a->dev.lid = lid;
		a->dev.has_lid = 1;
	}
	good.account = a->name;
	good.conn = a->conn;
	(void)channel_notify(a->svc->netd, NETD__TYPE__LINK_GOOD, &good.base);
	state_set(a, ACCOUNT_SYNCING, "logged_in", 0, "none", 0, 0);
	a->rec.login_counter = a->rec.login_counter == INT32_MAX ? 1 : a->rec.login_counter + 1;
	l->step = LOGIN_BOOKING;
	l->expected = l->seen = l->count = 0;
	l->pulling = l->batch_open = l->ended_early = 0;
	if ((l->unit = book(a)) == NULL) {
		account_store_failed(a, "memory");
		return;
	}
	unit_commit(l->unit, booked, l);
}

/* ------------------------------------------------------------------ prekeys, active */

static void
active_answered(const struct iq_answer *r, void *arg)
{
	struct login *l = arg;
	int ms = 1000 << l->active_tries;

	l->active_iq = 0;
	if (r->ok)
		return;
	if (l->active_tries < 6)
		l->active_tries++;
	if (r->backoff_s > ms / 1000)
		ms = r->backoff_s < ACTIVE_MAX_MS / 1000 ? (int)r->backoff_s * 1000 : ACTIVE_MAX_MS;
	if (ms > ACTIVE_MAX_MS)
		ms = ACTIVE_MAX_MS;
	log_warnx("account %s: <active/> was answered with %s %u; again in %d s", l->a->name,
	    r->why, r->code, ms / 1000);
	arm(l->active_again, ms);
}

/* Until this is granted the service may hold all stanzas back, whatever else works. */
static void
active_ask(evutil_socket_t fd, short what, void *arg)
{
	struct login *l = arg;
	struct node *n = iq_new("set", "passive");

	node_add(n, node_new("active"));
	l->active_iq = iq_request(l->a, n, IQ_TIMEOUT_MS, active_answered, l);
}

static void
login_active(struct account *a)
{
	struct login *l = a->login;

	if (l->step != LOGIN_PREKEYS || a->conn == 0)
		return;
	l->step = LOGIN_BACKLOG;
	l->active_tries = 0;
	active_ask(-1, 0, l);
	if (l->ended_early)
		login_online(l, "early");
	else
		arm(l->silence, SILENCE_MS);
}

static void
login_prekeys(struct login *l)
{
	l->step = LOGIN_PREKEYS;
	prekeys_check(l->a, login_active); /* goes on also when it failed: it is tried again */
}

/* ------------------------------------------------------------------ backlog */

void
login_stanza_seen(struct account *a, const struct node *n)
{
	struct login *l = a->login;

	if (l->step == LOGIN_BACKLOG)
		arm(l->silence, SILENCE_MS);
	if (l->step < LOGIN_BOOKING || node_get(n, "offline") == NULL)
		return;
	if (l->step < LOGIN_DONE)
		l->seen++;
	if (l->pulling && l->batch_open) { /* also beyond what was announced: more came meanwhile */
		l->batch_open = 0;
		arm(l->next_batch, BATCH_PAUSE_MS);
	}
}

static void
online_written(const struct unit_result *r, void *arg)
{
	struct login *l = arg;

	l->unit = NULL; /* an event that could not be written is no reason to stop */
}

/* Behind the last event of the backlog. */
static void
backlog_done(struct login *l)
{
	json_t *body = json_pack("{s:I, s:s}", "count", (json_int_t)l->seen, "how", l->how);

	l->how = NULL;
	receipts_flush(l->a);
	marks_flush(l->a);
	if ((l->unit = unit_open(l->a)) == NULL) {
		json_decref(body);
		return;
	}
	unit_event(l->unit, "offline.done", "live", clock_wall_ms(), body, NULL);
	unit_commit(l->unit, online_written, l);
}

void
login_message_ended(struct account *a)
{
	struct login *l = a->login;

	if (l->how != NULL && recv_ended(a) >= l->last && !a->svc->stopping)
		backlog_done(l);
}

static void
login_online(struct login *l, const char *how)
{
	struct account *a = l->a;

	l->step = LOGIN_DONE;
	evtimer_del(l->silence);
	state_set(a, ACCOUNT_ONLINE, "online", 0, "none", 0, 0);
	l->how = how;
	l->last = recv_ended(a) + recv_in_flight(a);
	login_message_ended(a);
	presence_online(a);
	privacy_read(a);
	props_fetch(a);
	dirty_online(a);
	keys_online(a);
	device_refresh_online(a);
	devices_refresh_own(a);
	restrict_online(a);
	outbox_online(a);
	tctokens_online(a);
	phone_ask_online(a);
	unread_expiry_online(a);
	held_release(a); /* what was decided while it was off, or not finished */
}

/* ------------------------------------------------------------------ <ib> */

static void
offline_preview(struct login *l, const struct node *c)
{
	l->expected = node_get_int(c, "count", PREVIEW_MAX);
	if (l->expected > 0 && !l->batch_open) {
		l->pulling = 1;
		ask_batch(l);
	}
}

static void
offline_end(struct login *l)
{
	l->pulling = 0;
	evtimer_del(l->next_batch);
	if (l->step == LOGIN_BACKLOG)
		login_online(l, "complete");
	else if (l->step >= LOGIN_BOOKING && l->step < LOGIN_BACKLOG)
		l->ended_early = 1;
}

static void
routing_written(const struct unit_result *r, void *arg)
{
	/* best effort: without it the next connection only takes another route */
}

static void
edge_routing(struct account *a, const struct node *c)
{
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	const uint8_t *data;
	size_t len;
	struct unit *u;

	if (node_child_bytes(c, "routing_info", &data, &len) == -1 || len == 0 ||
	    len > sizeof(a->rec.routing_info))
		return;
	memcpy(a->rec.routing_info, data, len);
	a->rec.routing_info_len = len;
	rec.has_routing_info = 1;
	rec.routing_info.data = a->rec.routing_info;
	rec.routing_info.len = len;
	if (a->opened && (u = unit_open(a)) != NULL) {
		unit_device(u, &rec);
		unit_commit(u, routing_written, NULL);
	}
	connect_refresh(a);
}

void
login_ib(struct account *a, const struct node *n)
{
	struct login *l = a->login;

	for (size_t i = 0; i < n->nchildren; i++) {
		const struct node *c = n->children[i];

		if (node_is(c, "offline_preview"))
			offline_preview(l, c);
		else if (node_is(c, "offline"))
			offline_end(l);
		else if (node_is(c, "edge_routing"))
			edge_routing(a, c);
		else if (!node_is(c, "priority_offline_complete") &&
			 !node_is(c, "thread_metadata") &&
			 !(node_is(c, "dirty") && dirty_in(a, c))) {
			if (node_is(c, "client_expiration"))
				client_expiration(a, c);
			/* other dirty bits stay dirty until what they name is kept here */
			stanza_notice(a, n, c->tag, 0);
		}
	}
}
