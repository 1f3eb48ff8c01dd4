/* How a person is named: the address of his sessions, and what clients are shown of him. */
#include "apid/message/contacts.h"

#include <stdio.h>
#include <string.h>

void
contacts_address(const struct person *p, const struct jid *device, char name[81])
{
	int hosted = jid_is_hosted(device);

	if (jid_by_number(device) && p != NULL && p->lid[0] != '\0')
		(void)snprintf(name, 81, "%s_%d", p->lid, hosted ? 129 : 1);
	else if (jid_by_lid(device))
		(void)snprintf(name, 81, "%s_%d", device->user, hosted ? 129 : 1);
	else if (hosted)
		(void)snprintf(name, 81, "%s_128", device->user);
	else if (jid_is_pn(device))
		(void)snprintf(name, 81, "%s", device->user);
	else /* a bot and the like: apart from every person */
		(void)snprintf(name, 81, "%s@%.10s", device->user, device->server);
}

int
contacts_address_pn(const struct person *p, const struct jid *device, char name[81])
{
	const char *user = jid_by_number(device) ? device->user : p == NULL ? "" : p->pn;
	int hosted = jid_is_hosted(device);

	if (user[0] == '\0' || (jid_by_number(device) && (p == NULL || p->lid[0] == '\0')))
		return -1;
	(void)snprintf(name, 81, hosted ? "%s_128" : "%s", user);
	return 0;
}

json_t *
contacts_party(const struct person *p)
{
	char text[JID_TEXT_MAX];
	json_t *o = json_object();

	if (p->id[0] != '\0')
		json_object_set_new(o, "id", json_string(p->id));
	if (p->pn[0] != '\0') {
		(void)snprintf(text, sizeof(text), "%s@" JID_PN, p->pn);
		json_object_set_new(o, "pn", json_string(text));
		if (strspn(p->pn, "0123456789") == strlen(p->pn) && p->pn[0] != '0') {
			(void)snprintf(text, sizeof(text), "+%s", p->pn);
			json_object_set_new(o, "phone", json_string(text));
		}
	}
	if (p->lid[0] != '\0') {
		(void)snprintf(text, sizeof(text), "%s@" JID_LID, p->lid);
		json_object_set_new(o, "lid", json_string(text));
	}
	if (p->push_name[0] != '\0')
		json_object_set_new(o, "push_name", json_string(p->push_name));
	return o;
}

void
contacts_chat_id(const struct jid *chat, const struct person *p, char out[STABLE_ID_LEN + 1])
{
	char text[JID_TEXT_MAX];

	if (p != NULL && p->id[0] != '\0' && (jid_by_lid(chat) || jid_by_number(chat))) {
		memcpy(out, p->id, STABLE_ID_LEN + 1);
		out[0] = 'c'; /* a direct chat is named by its person */
		return;
	}
	stable_id_of_group(out, jid_format(chat, text));
}

json_t *
contacts_chat(const struct jid *chat, const struct person *p)
{
	char id[STABLE_ID_LEN + 1], text[JID_TEXT_MAX];
	const char *kind = jid_on(chat, JID_GROUP)        ? "group"
			   : jid_on(chat, JID_NEWSLETTER) ? "channel"
			   : jid_on(chat, JID_BROADCAST)
			       ? (strcmp(chat->user, "status") == 0 ? "status" : "broadcast")
			   : jid_on(chat, "bot") ? "bot"
						 : "direct";

	contacts_chat_id(chat, p, id);
	return json_pack("{s:s, s:s, s:s}", "id", id, "jid", jid_format(chat, text), "kind", kind);
}
