/* JIDs: the names of people, devices, groups and the service (protocol page 02, section 8). */
#ifndef WARD_JID_H
#define WARD_JID_H

#include <stddef.h>
#include <stdint.h>

#define JID_USER_MAX   64
#define JID_SERVER_MAX 32
#define JID_TEXT_MAX   112 /* user, device, integrator, server and NUL */

#define JID_PN         "s.whatsapp.net"
#define JID_LID        "lid"
#define JID_GROUP      "g.us"
#define JID_BROADCAST  "broadcast"
#define JID_NEWSLETTER "newsletter"
#define JID_HOSTED     "hosted"
#define JID_HOSTED_LID "hosted.lid"

struct jid {
	char user[JID_USER_MAX + 1]; /* "" = the server itself */
	char server[JID_SERVER_MAX + 1];
	uint16_t device;     /* 0 = primary or none */
	uint16_t integrator; /* interop only */
};

/* Parse the text form. 0, or -1 if it is no JID. c.us becomes s.whatsapp.net; an agent is dropped.
 */
int jid_parse(const char *text, struct jid *out);
/* Make from parts; -1 if one is too long or holds forbidden characters. user may be "". */
int jid_make(struct jid *out, const char *user, const char *server, unsigned device);
/* Print to a buffer of JID_TEXT_MAX bytes; returns buf. */
const char *jid_format(const struct jid *j, char *buf);

struct jid jid_bare(const struct jid *j);                    /* device cleared */
struct jid jid_device(const struct jid *j, unsigned device); /* same user, that device */
int jid_eq(const struct jid *a, const struct jid *b);        /* user, server, device */
int jid_same_user(const struct jid *a, const struct jid *b); /* bare JIDs equal */
int jid_is_pn(const struct jid *j);                          /* a person by number */
int jid_is_lid(const struct jid *j);                         /* a person by LID */
int jid_by_number(const struct jid *j);                      /* a person by number, hosted or not */
int jid_by_lid(const struct jid *j);                         /* a person by LID, hosted or not */
int jid_is_hosted(const struct jid *j);                      /* of a business service */
int jid_is_server(const struct jid *j);                      /* no user */
int jid_on(const struct jid *j, const char *server);         /* lives on that server */

#endif
