/* What the phone read it keeps for a while, and gives to a companion that could not read it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pb.h"
#include "common/proto/e2e.pb-c.h"
#include "tests/sim/pbw.h"
#include "tests/sim/phone_impl.h"

#define HELD 512

struct held {
	char id[160];
	struct jid chat, from;
	int own;
	int64_t t;
	uint8_t *message;
	size_t len;
};

void
phone_hold(struct phone *p, const char *id, const struct jid *chat, const struct jid *from, int own,
    int64_t t, const E2e__Message *m)
{
	struct held *h;

	if (p->held == NULL && (p->held = calloc(HELD, sizeof(*p->held))) == NULL)
		fatal("held messages");
	h = &p->held[p->nheld++ % HELD];
	free(h->message);
	snprintf(h->id, sizeof(h->id), "%s", id);
	h->chat = *chat;
	h->from = *from;
	h->own = own;
	h->t = t;
	if ((h->message = pb_pack(&m->base, &h->len)) == NULL)
		fatal("held message");
}

void
phone_held_free(struct phone *p)
{
	for (size_t i = 0; p->held != NULL && i < HELD; i++)
		free(p->held[i].message);
	free(p->held);
}

static const struct held *
find(const struct phone *p, const Wacommon__MessageKey *key)
{
	struct jid chat;

	if (p->held == NULL || key == NULL || key->id == NULL || key->remote_jid == NULL ||
	    jid_parse(key->remote_jid, &chat) != 0)
		return NULL;
	for (size_t i = 0; i < HELD; i++)
		if (p->held[i].message != NULL && strcmp(p->held[i].id, key->id) == 0 &&
		    account_of(&p->held[i].chat) == account_of(&chat))
			return &p->held[i];
	return NULL;
}

/* A WebMessageInfo; its JIDs are numbers. */
static void
put_info(struct buf *out, const struct held *h)
{
	char text[JID_TEXT_MAX];
	struct jid chat = account_jid(account_of(&h->chat), 0);
	struct buf key = BUF_INIT;

	pbw_str(&key, 1, jid_format(&chat, text));
	pbw_varint(&key, 2, h->own != 0);
	pbw_str(&key, 3, h->id);
	pbw_msg(out, 1, &key);
	pbw_bytes(out, 2, h->message, h->len);
	pbw_varint(out, 3, (uint64_t)(h->t > 0 ? h->t : 0));
}

void
phone_give(struct phone *p, struct device *d, const char *request_id,
    const E2e__PeerDataOperationRequestMessage *rq)
{
	struct buf answer = BUF_INIT, protocol = BUF_INIT, message = BUF_INIT;

	if (rq->n_placeholder_message_resend_request == 0)
		return;
	phone_stats.asked_for++;
	pbw_varint(&answer, 1, 4);
	pbw_str(&answer, 2, request_id);
	for (size_t i = 0; i < rq->n_placeholder_message_resend_request; i++) {
		const struct held *h =
		    p->set.gives ? find(p, rq->placeholder_message_resend_request[i]->message_key)
				 : NULL;
		struct buf info = BUF_INIT, one = BUF_INIT, result = BUF_INIT;

		if (h != NULL) {
			put_info(&info, h);
			pbw_msg(&one, 1, &info);
			phone_stats.given++;
		}
		pbw_msg(&result, 4, &one);
		pbw_msg(&answer, 3, &result);
	}
	pbw_varint(&protocol, 2, 17);
	pbw_msg(&protocol, 17, &answer);
	pbw_msg(&message, 12, &protocol);
	(void)phone_send_peer(p, d, &message);
	buf_clear(&message);
}
