/* What keyd says of the identities of those that a message goes to. */
#include <string.h>

#include "apid/message/held.h"
#include "apid/message/identity.h"
#include "apid/message/send_impl.h"
#include "common/clock.h"

/* The bundles have shown another identity of a device: told with whatever else the unit holds. */
static void
tell_change(struct send *s, const struct send_device *d, const Keyd__EncryptResult *e)
{
	const struct person *p = d->own ? &s->own : &s->peer;
	struct identity_news news = {.party = p,
	    .device = d->jid.device,
	    .implicit = 1,
	    .held = e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED,
	    .held_messages = held_of(s->a, p),
	    .origin = "live",
	    .time_ms = clock_wall_ms()};

	s->a->n.identity_changes++;
	identity_news_take(&news, e->change);
	identity_event(s->unit, &news);
}

/* A device that its account does not vouch for is left out, and that is told. */
static void
tell_adv(struct send *s, const struct send_device *d)
{
	char jid[JID_TEXT_MAX];
	json_t *o = json_pack("{s:s, s:s, s:s}", "kind", "adv_invalid", "from",
	    jid_format(&d->jid, jid), "message_id", s->id);

	unit_event(s->unit, "server.notice", "live", clock_wall_ms(), o, NULL);
}

const char *
send_judge(struct send *s, const Keyd__EncryptReply *m)
{
	size_t k = 0, theirs = 0, adv = 0;
	const char *why = NULL;

	for (size_t i = 0; i < s->ndev && k < m->n_results; i++) {
		const struct send_device *d = &s->dev[i];
		const Keyd__EncryptResult *e;

		if (d->skip)
			continue;
		e = m->results[k++];
		if (e->change != NULL)
			tell_change(s, d, e);
		if (e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__IDENTITY_DAMAGED) {
			why = "identity_damaged";
			identity_damaged(s->a);
		} else if (e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNTRUSTED &&
			   (why == NULL || strcmp(why, "identity_damaged") != 0))
			why = "identity_changed";
		else if (e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__UNVERIFIED && why == NULL)
			why = "identity_unverified";
		else if (e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__ADV_INVALID) {
			tell_adv(s, d);
			adv += !d->own;
		}
		theirs += !d->own && e->outcome == KEYD__ENCRYPT_RESULT__OUTCOME__DONE;
	}
	return why == NULL && theirs == 0 && adv > 0 ? "adv_invalid" : why;
}
