/* The other side of a direct chat: how a client names it, and how the wire does. */
#include "apid/message/peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "apid/session/unit.h"

const char *
peer_name(const char *text, char buf[JID_TEXT_MAX])
{
	struct jid j;

	if (stable_id_is(text, 'c') || stable_id_is(text, 'u')) {
		(void)snprintf(buf, JID_TEXT_MAX, "%s", text);
		buf[0] = 'u'; /* a direct chat is named by its person */
		return buf;
	}
	if (text[0] == '+')
		return jid_make(&j, text + 1, JID_PN, 0) == -1 ? NULL : jid_format(&j, buf);
	if (jid_parse(text, &j) == -1 || j.user[0] == '\0' || (!jid_is_pn(&j) && !jid_is_lid(&j)))
		return NULL;
	j = jid_bare(&j);
	return jid_format(&j, buf);
}

int
peer_jid(const struct account *a, const struct person *p, struct jid *out)
{
	int lid = p->lid[0] != '\0' && (a->rec.lid_migrated || p->pn[0] == '\0');
	const char *user = lid ? p->lid : p->pn;

	return user[0] == '\0' ? -1 : jid_make(out, user, lid ? JID_LID : JID_PN, 0);
}

struct keeping {
	struct account *a;
	struct jid j;
};

static void
kept(const struct unit_result *r, void *arg)
{
	struct keeping *k = arg;

	contacts_written(k->a, &k->j, r->ok); /* if not, the next unit that names him writes him */
	free(k);
}

void
peer_keep(struct account *a, const struct jid *j)
{
	struct keeping *k;
	struct unit *u;

	if (!a->opened || !contacts_unwritten(a, j) || (k = calloc(1, sizeof(*k))) == NULL)
		return;
	if ((u = unit_open(a)) == NULL) {
		free(k);
		return;
	}
	k->a = a;
	k->j = *j;
	(void)contacts_write(a, j, u);
	unit_commit(u, kept, k);
}
