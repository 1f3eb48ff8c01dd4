/* Who asks for a message again: only a device that it was for gets it (protocol page 04, 12.3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/contacts.h"
#include "apid/message/retry_impl.h"
#include "apid/session/devices.h"

/* The person of the chat, or one of our own devices. */
static int
is_of_chat(const struct retry *r)
{
	struct person p;
	struct jid chat;

	if (r->own)
		return !account_is_this_device(r->a, &r->requester);
	if (jid_parse(r->chat, &chat) == -1)
		return 0;
	if (strcmp(chat.user, r->requester.user) == 0 && jid_same_user(&chat, &r->requester))
		return 1;
	return contacts_cached(r->a, &chat, &p) == 0 && strcmp(p.id, r->person.id) == 0;
}

static int
in_list(const Stored__DeviceList *l, unsigned device)
{
	for (size_t i = 0; l != NULL && i < l->n_devices; i++)
		if (l->devices[i]->id == device)
			return 1;
	return 0;
}

static void
list_came(const struct device_list *lists, size_t n, const char *why, unsigned code, void *arg)
{
	struct retry *r = arg;

	r->devices = NULL;
	if (why != NULL && strcmp(why, "error") != 0) {
		flow_end(&r->f, "cancelled", why); /* not acked: it comes again */
		return;
	}
	for (size_t i = 0; why == NULL && n > 0 && i < lists[0].n; i++)
		if (lists[0].ids[i] == r->requester.device) {
			retry_turn(r);
			return;
		}
	retry_drop(r, "the device was not addressed");
}

/* A device that nobody knew when the message was sent: the service says whether it is his. */
static void
retry_list(struct retry *r)
{
	struct jid bare = jid_bare(&r->requester);
	char text[JID_TEXT_MAX];
	const char *name = jid_format(&bare, text);

	flow_step(&r->f, "retry_list");
	retry_uncount(r);
	r->devices = devices_fetch(r->a, &name, 1, list_came, r);
}

static void
retry_known(const struct person *people, size_t n, const Stored__LookupReply *lists,
    const char *why, void *arg)
{
	struct retry *r = arg;

	r->lookup = NULL;
	if (why != NULL) {
		flow_end(&r->f, why, "the request comes again");
		return;
	}
	r->person = people[0];
	if (!is_of_chat(r))
		retry_drop(r, "the device was not addressed");
	else if (r->addressed || (lists != NULL && lists->n_peers > 0 && !r->addressed_known &&
				     (in_list(lists->peers[0]->by_pn, r->requester.device) ||
					 in_list(lists->peers[0]->by_lid, r->requester.device))))
		retry_turn(r);
	else if (!r->addressed_known && node_child(r->n, "keys") == NULL)
		retry_drop(r, "the device is not known, and it gives no keys");
	else
		retry_list(r);
}

/* It is among those that the message was encrypted for. */
static void
was_addressed(struct retry *r, const Stored__OutboxPut *p)
{
	struct jid j;

	r->addressed_known = p->n_devices > 0;
	for (size_t i = 0; i < p->n_devices; i++)
		if (jid_parse(p->devices[i], &j) == 0 && j.device == r->requester.device &&
		    (jid_eq(&j, &r->requester) || account_is_own(r->a, &j) == r->own))
			r->addressed = 1; /* also under his other name */
}

void
retry_row(const struct reply *rp, void *arg)
{
	struct retry *r = arg;
	const Stored__OutboxRows *m = (const Stored__OutboxRows *)rp->pb;
	char who[JID_TEXT_MAX];
	const char *names[2];
	struct jid bare = jid_bare(&r->requester);

	r->ask = NULL;
	if (!rp->ok) {
		flow_end(&r->f, rp->code, "the request comes again");
		return;
	}
	if (m->n_rows == 0 || m->rows[0]->put->content.len == 0) {
		retry_drop(r, "the message is not kept (any more)");
		return;
	}
	const Stored__OutboxPut *p = m->rows[0]->put;

	if ((r->content = malloc(p->content.len)) == NULL) {
		flow_end(&r->f, "memory", "out of memory");
		return;
	}
	memcpy(r->content, p->content.data, p->content.len);
	r->content_len = p->content.len;
	(void)snprintf(r->chat, sizeof(r->chat), "%s", p->chat);
	was_addressed(r, p);
	flow_step(&r->f, "retry_known");
	names[0] = jid_format(&bare, who);
	names[1] = r->chat;
	r->lookup = contacts_ask(r->a, names, 2, 1, retry_known, r);
}
