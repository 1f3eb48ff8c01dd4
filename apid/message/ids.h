/* Names that ward makes: message ids and the stable ids of people and chats. */
#ifndef WARD_IDS_H
#define WARD_IDS_H

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_ID_MAX 128 /* of others; ours have 22 characters */
#define STABLE_ID_LEN  28  /* "u_" and 26 characters of base32 */

/* Protocol page 04, section 7: "3EB0" and 18 hex digits. out: 23 bytes. */
void message_id_make(char out[23], uint64_t unix_s, const char *own_pn_user, const uint8_t rnd[16]);
void message_id_new(char out[23], uint64_t unix_s, const char *own_pn_user);

/* 128 bits as "u_" and 26 lower-case base32 characters. out: STABLE_ID_LEN + 1 bytes. */
void stable_id_make(char out[STABLE_ID_LEN + 1], char kind, const uint8_t bits[16]);
void stable_id_new(char out[STABLE_ID_LEN + 1], char kind);
/* Of a group: made from its JID, so that nothing needs to be kept. */
void stable_id_of_group(char out[STABLE_ID_LEN + 1], const char *jid);
int stable_id_is(const char *text, char kind);

/* A usable message id of somebody else: 1..128 printable characters without space. */
int message_id_ok(const char *id);

#endif
