/* The end of linking: what the phone signed is checked by keyd, kept, and signed by us.
 *
 *	pair_success -> pair_verified -> pair_stored -> (515, login)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/calls.h"
#include "apid/message/held.h"
#include "apid/message/outbox.h"
#include "apid/message/tctoken.h"
#include "apid/session/connect.h"
#include "apid/session/pair_impl.h"
#include "apid/session/presence.h"
#include "apid/session/props.h"
#include "apid/session/stanza.h"
#include "apid/session/state.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "common/proto/companion.pb-c.h"

#define CONTAINER_MAX 4096u
#define PROPS_BUDGET  16384u

static void
send_error(struct account *a, const struct node *n, unsigned code, const char *text)
{
	struct node *r = node_new("iq"), *e = node_new("error");

	node_set_server(r, "to", JID_PN);
	node_set(r, "type", "error");
	node_set(r, "id", node_get(n, "id"));
	node_setf(e, "code", "%u", code);
	node_set(e, "text", text);
	node_add(r, e);
	(void)stanza_send(a, r);
}

static void
pair_refused(struct pair *p, unsigned code, const char *text, const char *reason)
{
	send_error(p->a, p->pending, code, text);
	pair_failed(p->a, reason);
}

static void
send_sign(struct pair *p)
{
	struct node *r = node_new("iq"), *sign = node_new("pair-device-sign");
	struct node *id = node_new("device-identity");

	node_set_server(r, "to", JID_PN);
	node_set(r, "type", "result");
	node_set(r, "id", node_get(p->pending, "id"));
	node_setf(id, "key-index", "%u", p->link.key_index);
	node_set_bytes(id, p->link.answer, p->link.answer_len);
	node_add(sign, id);
	node_add(r, sign);
	if (p->conn == p->a->conn)
		(void)stanza_send(p->a, r); /* if it is lost, <failure reason=401> settles it */
	else
		node_free(r);
}

static void
pair_stored(const struct unit_result *r, void *arg)
{
	struct pair *p = arg;
	struct account *a = p->a;
	struct pair_link *l = &p->link;

	p->unit = NULL;
	if (!r->ok) { /* no answer: the phone says that it did not work */
		pair_failed(a, "store");
		return;
	}
	free(a->dev.signed_identity);
	a->dev = l->dev;
	l->dev.signed_identity = NULL;
	memset(&a->rec, 0, sizeof(a->rec));
	props_restore(a, NULL, NULL);
	a->rec.lid_migrated = l->lid_migrated;
	(void)snprintf(a->rec.account_lid, sizeof(a->rec.account_lid), "%s",
	    a->dev.has_lid ? a->dev.lid.user : "");
	a->rec.initial_sync_pending = 1;
	a->rec.linked_ms = clock_wall_ms();
	(void)snprintf(a->rec.platform, sizeof(a->rec.platform), "%s", l->platform);
	(void)snprintf(a->rec.business_name, sizeof(a->rec.business_name), "%s", l->biz);
	(void)snprintf(a->rec.account_user, sizeof(a->rec.account_user), "%s", a->dev.jid.user);
	outbox_reset(a);
	tctokens_reset(a);
	presence_reset(a);
	calls_reset(a);
	held_reset(a);
	if (p->link.other)
		outbox_stops_only_account(a);
	send_sign(p);
	p->running = 0;
	pair_drop_refs(p);
	pair_drop_work(p);
	pair_tell(p, "done", NULL, 0, NULL);
	log_notice("account %s: linked", a->name);
	state_set(a, ACCOUNT_CONNECTING, "linked", 0, "none", 0, 0);
	connect_refresh(a); /* the next handshake is a login; 515 comes */
}

static void
fill_unit(struct pair *p)
{
	struct pair_link *l = &p->link;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	json_t *o = json_pack("{s:s, s:s, s:b, s:b, s:s}", "jid", l->jid, "platform", l->platform,
	    "first_time", l->first_time, "other_account", l->other, "link_id", p->link_id);
	char state[] = "connecting";

	if (l->lid[0] != '\0')
		json_object_set_new(o, "lid", json_string(l->lid));
	if (l->biz[0] != '\0')
		json_object_set_new(o, "business_name", json_string(l->biz));
	rec.jid = l->jid;
	rec.lid = l->lid;
	rec.platform = l->platform;
	rec.business_name = l->biz;
	rec.has_server_has_prekeys = 1;
	rec.has_lid_migrated = 1;
	rec.lid_migrated = l->lid_migrated;
	rec.has_initial_sync_pending = rec.initial_sync_pending = 1;
	rec.has_login_counter = 1;
	rec.has_linked_ms = 1;
	rec.linked_ms = clock_wall_ms();
	rec.state = state;
	/* what an operator has stopped stays so; the chats of another account are not his */
	rec.outbox_holds = outbox_stops_text(p->a, !l->other);
	unit_device_reset(p->unit, l->other);
	unit_device(p->unit, &rec);
	free(rec.outbox_holds);
	unit_event(p->unit, "account.linked", "live", clock_wall_ms(), o, NULL);
}

static void
pair_verified(const struct reply *rp, void *arg)
{
	struct pair *p = arg;
	const Keyd__PairSuccessReply *m = (const Keyd__PairSuccessReply *)rp->pb;
	struct account_device old = p->a->dev;

	p->ask = NULL;
	if (!rp->ok || m->outcome == KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_FORMAT) {
		pair_refused(p, 500, "internal-error", rp->ok ? "adv_malformed" : "internal");
		return;
	}
	if (m->outcome != KEYD__PAIR_SUCCESS_REPLY__OUTCOME__LINKED || m->device == NULL ||
	    !m->has_answer) {
		pair_refused(p, 401, "not-authorized",
		    m->outcome == KEYD__PAIR_SUCCESS_REPLY__OUTCOME__BAD_HMAC
			? "hmac_mismatch"
			: "signature_mismatch");
		return;
	}
	if ((p->link.answer = malloc(m->answer.len)) == NULL) {
		pair_refused(p, 500, "internal-error", "internal");
		return;
	}
	memcpy(p->link.answer, m->answer.data, m->answer.len);
	p->link.answer_len = m->answer.len;
	p->link.key_index = m->key_index;
	memset(&p->a->dev, 0, sizeof(p->a->dev));
	account_take_device(p->a, m->device);
	p->link.dev = p->a->dev;
	p->a->dev = old;
	unit_staged(p->unit, m->stages);
	fill_unit(p);
	p->open = 0;
	unit_commit(p->unit, pair_stored, p);
}

static int
lid_migrated(const struct node *ps)
{
	struct pb_arena *arena;
	const Companion__ClientPairingProps *props;
	const uint8_t *data;
	size_t len;
	int yes = 0;

	if (node_child_bytes(ps, "client-props", &data, &len) == -1 ||
	    (arena = pb_arena_new(PROPS_BUDGET)) == NULL)
		return 0;
	props = pb_unpack(&companion__client_pairing_props__descriptor, data, len, arena, 0, NULL);
	if (props != NULL)
		yes = props->has_is_chat_db_lid_migrated && props->is_chat_db_lid_migrated;
	pb_arena_free(arena);
	return yes;
}

/* Is it the account that was linked here before? The LID stays with an account that changes its
 * number. */
static int
same_account(const struct account *a, const struct jid *jid, const struct jid *lid)
{
	const struct account_record *r = &a->rec;

	if (lid != NULL && r->account_lid[0] != '\0')
		return strcmp(r->account_lid, lid->user) == 0;
	return strcmp(r->account_user, jid->user) == 0;
}

/* What the stanza says, checked; -1 if something that must be there is not. */
static int
read_success(struct pair *p, const struct node *ps, const uint8_t **box, size_t *len)
{
	const struct node *dev = node_child(ps, "device"), *c;
	struct pair_link *l = &p->link;
	struct jid jid, lid;
	const char *name;

	if (node_child_bytes(ps, "device-identity", box, len) == -1 || *len == 0 ||
	    *len > CONTAINER_MAX || dev == NULL || node_get_jid(dev, "jid", &jid) == -1 ||
	    !jid_is_pn(&jid) || jid.device == 0)
		return -1;
	(void)jid_format(&jid, l->jid);
	if (node_get_jid(dev, "lid", &lid) == 0 && jid_is_lid(&lid))
		(void)jid_format(&lid, l->lid);
	if ((c = node_child(ps, "platform")) != NULL && (name = node_get(c, "name")) != NULL)
		(void)snprintf(l->platform, sizeof(l->platform), "%s", name);
	if ((c = node_child(ps, "biz")) != NULL && (name = node_get(c, "name")) != NULL)
		(void)snprintf(l->biz, sizeof(l->biz), "%s", name);
	l->lid_migrated = lid_migrated(ps);
	l->first_time = p->a->rec.account_user[0] == '\0';
	l->other = !l->first_time && !same_account(p->a, &jid, l->lid[0] != '\0' ? &lid : NULL);
	if (l->other)
		return p->other_account ? 0 : -2;
	l->lid_migrated |= p->a->rec.lid_migrated; /* once so, an account stays so */
	return 0;
}

void
pair_success(struct account *a, const struct node *n, const struct node *ps)
{
	struct pair *p = a->pair;
	Keyd__PairSuccess m = KEYD__PAIR_SUCCESS__INIT;
	const uint8_t *box;
	size_t len;
	int r;

	if (!p->running || a->dev.linked || p->pending != NULL) {
		log_notice("account %s: a pair-success that nobody waits for", a->name);
		return;
	}
	pair_drop_work(p);
	p->pending = pair_keep_head(n);
	p->conn = a->conn;
	if ((r = read_success(p, ps, &box, &len)) != 0) {
		pair_refused(p, r == -2 ? 401 : 500, r == -2 ? "not-authorized" : "internal-error",
		    r == -2 ? "account_mismatch" : "adv_malformed");
		return;
	}
	if ((p->unit = unit_open(a)) == NULL) {
		pair_refused(p, 500, "internal-error", "internal");
		return;
	}
	p->open = 1;
	m.account = a->name;
	m.unit = unit_id(p->unit);
	m.container = pb_bytes(box, len);
	m.jid = p->link.jid;
	m.lid = p->link.lid[0] != '\0' ? p->link.lid : NULL;
	p->ask = ask_keyd(a, KEYD__TYPE__PAIR_SUCCESS, &m.base, KEYD__TYPE__PAIR_SUCCESS_REPLY,
	    &keyd__pair_success_reply__descriptor, 65536, ASK_DEADLINE_MS, pair_verified, p);
}
