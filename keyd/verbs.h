/* What carries out the verbs, by file; dispatch.c says who may ask which. */
#ifndef WARD_VERBS_H
#define WARD_VERBS_H

#include "ipc/keyd.pb-c.h"
#include "keyd/queue.h"

/* verb_noise.c */
verb_load noise_load_chain;
verb_run noise_hello, noise_finish_verb, noise_drop, noise_keep;
/* identity.c: the device and its pairing */
verb_check identity_check_pair_success;
verb_load identity_load_device_create, identity_load_pair_success;
verb_run identity_account_open, identity_device_create, identity_pair_qr, identity_pair_refresh,
    identity_pair_code, identity_pair_code_finish, identity_pair_success;
void identity_put(struct request *r, struct device *d); /* write the record */
Keyd__SignedPrekey *identity_signed_prekey(
    struct request *r, uint32_t id, const uint8_t pub[32], const uint8_t sig[64]);
/* verb_passkey.c */
verb_run passkey_begin, passkey_continue, passkey_seal;
void passkey_forget(struct account *a); /* wipe the exchange that is under way */
/* msg_secret.c */
#define MSG_SECRET_NAME_MAX 512
#define MSG_SECRET_ID_MAX   128
#define MSG_SECRET_JID_MAX  112
verb_load msg_secret_load_open;
verb_run msg_secret_keep, msg_secret_open;
void msg_secret_need(struct request *r, const Keyd__Secret *s); /* for each in a request */
void msg_secret_put(struct request *r, Keyd__Secret *const *list, size_t n);
/* prekeys.c */
#define PREKEY_ID_MAX 0xfffffeu /* libsignal never removes 0xffffff after use (page 04, 2.2) */
#define PREKEYS_MAX   1000      /* of one request */
verb_check prekeys_check_make;
verb_load prekeys_load_make, prekeys_load_uploaded, prekeys_load_public, prekeys_load_restored;
verb_run prekeys_make, prekeys_uploaded, prekeys_public, prekeys_restored;
/* skey.c: the signed prekey */
verb_load skey_load_rotate;
verb_run skey_begin, skey_end;
/* Make one with that id, signed by the device's identity, and put its record. */
void skey_make(
    struct work *w, const struct device *d, uint32_t id, uint8_t pub[32], uint8_t sig[64]);
/* The one after that in use, if it is loaded and there; pub and sig are filled then. 1 or 0; -1:
 * its record cannot be read. */
int skey_next(struct work *w, const struct device *d, uint8_t pub[32], uint8_t sig[64]);
int skey_need_next(struct work *w, const struct device *d);
uint32_t skey_next_id(const struct device *d);
/* rekey.c */
verb_load rekey_load_reseal;
verb_run rekey_run_reseal;
/* lid_move.c */
verb_check lid_move_check;
verb_run lid_move;
/* session.c */
verb_check session_check_encrypt;
void session_need_prekeys(struct request *r, const Keyd__DecryptItem *item); /* the same */
verb_run session_sessions, session_encrypt, session_decrypt;
/* trust.c */
verb_check trust_check_decide;
verb_run trust_identities, trust_decide, trust_forget;

#endif
