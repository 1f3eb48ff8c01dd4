/* After the handshake: registration, or login of a known device. */
#include <stdio.h>
#include <string.h>

#include "common/pb.h"
#include "common/proto/wa6.pb-c.h"
#include "tests/sim/login.h"
#include "tests/sim/loop.h"
#include "tests/sim/nodes.h"
#include "tests/sim/offline.h"
#include "tests/sim/pairing.h"
#include "tests/sim/services.h"
#include "tests/sim/stanza_log.h"

#define ARENA (512 * 1024)

void
login_refuse(struct account *a, const struct login_refusal *r)
{
	a->refusal = *r;
}

void
login_stream_error(struct conn *c, int code, const char *conflict)
{
	struct node *n = node_new("stream:error");

	if (code != 0)
		node_setf(n, "code", "%d", code);
	if (conflict != NULL)
		node_set(node_child_new(n, "conflict"), "type", conflict);
	conn_send(c, n);
	node_free(n);
}

static void
end_stream(struct conn *c, const struct login_refusal *r)
{
	struct node *n = node_new("stream:error");

	if (r->code != 0)
		node_setf(n, "code", "%d", r->code);
	if (r->conflict[0] != '\0')
		node_set(node_child_new(n, "conflict"), "type", r->conflict);
	if (r->child[0] != '\0')
		node_child_new(n, r->child);
	conn_send(c, n);
	node_free(n);
	if (!r->stay)
		conn_end(c, "stream error");
}

static void
fail(struct conn *c, const struct login_refusal *r)
{
	struct node *n;

	if (r->stream) {
		end_stream(c, r);
		return;
	}
	n = node_new("failure");

	node_setf(n, "reason", "%d", r->reason);
	node_set(n, "location", r->location[0] != '\0' ? r->location : "sim");
	if (r->code != 0)
		node_setf(n, "code", "%d", r->code);
	if (r->expire != 0)
		node_setf(n, "expire", "%d", r->expire);
	conn_send(c, n);
	node_free(n);
	if (!r->stay)
		conn_end(c, "login refused");
}

static void
send_success(struct conn *c, struct device *d)
{
	struct node *n = node_new("success");
	struct jid lid = device_jid(d, 1);

	if (d->account->lid_told == 2)
		lid.user[0] = lid.user[0] == '9' ? '8' : '9';
	node_setf(n, "t", "%lld", (long long)loop_now());
	if (d->account->lid_told != 1)
		node_set_jid(n, "lid", &lid);
	node_set(n, "props", "27");
	node_set(n, "abprops", "14");
	node_set(n, "group_abprops", "1");
	node_set(n, "location", "sim");
	node_setf(n, "creation", "%lld", (long long)(loop_now() - 86400));
	node_set(n, "display_name", d->account->push_name);
	conn_send(c, n);
	node_free(n);
}

/* 1 = the account refuses logins now */
static int
refused(struct conn *c, struct account *a, int after)
{
	if (a->refusal.reason == 0 || a->refusal.after != after)
		return 0;
	fail(c, &a->refusal);
	if (a->refusal.count > 0 && --a->refusal.count == 0)
		a->refusal.reason = 0;
	return 1;
}

static void
log_in(struct conn *c, struct device *d, const Wa6__ClientPayload *p)
{
	struct conn *old = d->conn;

	if (old != NULL) {
		login_stream_error(old, 0, "replaced");
		conn_end(old, "replaced");
	}
	d->conn = c;
	d->logins++;
	conn_set_device(c, d);
	offline_login(d);
	send_success(c, d);
	if (!refused(c, d->account, 1) && d->conn == c && !p->passive)
		services_became_active(d);
}

static void
login_device(struct conn *c, const uint8_t noise_pub[32], const Wa6__ClientPayload *p)
{
	static const struct login_refusal unknown = {.reason = 401};
	struct account *a;
	struct device *d = NULL;
	struct jid j;
	char user[32];

	snprintf(user, sizeof(user), "%llu", (unsigned long long)p->username);
	a = jid_make(&j, user, JID_PN, 0) == 0 ? account_of(&j) : NULL;
	if (a != NULL && p->has_device && p->device != 0)
		d = account_device(a, p->device);
	if (d == NULL || memcmp(d->noise_pub, noise_pub, 32) != 0) {
		fail(c, &unknown);
		return;
	}
	a->logins_tried++;
	if (p->user_agent != NULL && p->user_agent->app_version != NULL)
		snprintf(a->client_version, sizeof(a->client_version), "%u.%u.%u",
		    p->user_agent->app_version->primary, p->user_agent->app_version->secondary,
		    p->user_agent->app_version->tertiary);
	if (!refused(c, a, 0))
		log_in(c, d, p);
}

void
login_payload(struct conn *c, const uint8_t noise_pub[32], const void *payload, size_t len)
{
	struct pb_arena *arena = pb_arena_new(ARENA);
	Wa6__ClientPayload *p =
	    pb_unpack(&wa6__client_payload__descriptor, payload, len, arena, 0, NULL);
	struct party who = conn_party(c);

	if (p == NULL) {
		conn_end(c, "the client payload does not parse");
	} else if (p->device_pairing_data != NULL) {
		stanza_log_note(&who, "registration");
		pairing_register(c, noise_pub, p);
	} else {
		stanza_log_note(&who, "login user=%llu device=%u passive=%d pull=%d lc=%d",
		    (unsigned long long)p->username, p->device, p->passive, p->pull, p->lc);
		login_device(c, noise_pub, p);
	}
	pb_arena_free(arena);
}
