/* The verbs, by the file that carries them out; dispatch.c says who may ask which. */
#ifndef WARD_VERBS_H
#define WARD_VERBS_H

#include "ipc/keyd.pb-c.h"
#include "keyd/queue.h"

/* verb_noise.c: netd, and apid for the last one */
extern const struct verb verb_noise_hello, verb_noise_finish, verb_noise_drop, verb_noise_keep;
/* identity.c: the device and its pairing */
extern const struct verb verb_account_open, verb_device_create, verb_pair_qr, verb_pair_refresh,
    verb_pair_code, verb_pair_code_finish, verb_pair_success;
void identity_put(struct request *r, struct device *d);                     /* write the record */
void identity_signed_prekey(Keyd__SignedPrekey *s, const struct device *d); /* points into d */
/* verb_passkey.c */
extern const struct verb verb_passkey_begin, verb_passkey_continue, verb_passkey_seal;
void passkey_forget(struct account *a); /* wipe the exchange that is under way */
/* msg_secret.c */
extern const struct verb verb_secrets_keep, verb_addon_open;
/* The three parts of a verb that keeps secrets; check and load as in struct verb. */
const char *msg_secret_check(Keyd__Secret *const *list, size_t n);
void msg_secret_load(struct request *r, Keyd__Secret *const *list, size_t n);
void msg_secret_put(struct request *r, Keyd__Secret *const *list, size_t n);
/* prekeys.c */
#define PREKEY_ID_MAX 0xfffffeu /* libsignal never removes 0xffffff after use (page 04, 2.2) */
extern const struct verb verb_prekeys_make, verb_prekeys_uploaded, verb_prekeys_public,
    verb_restored;
/* skey.c: the signed prekey */
extern const struct verb verb_skey_next, verb_skey_end;
/* Make one with that id, signed by the device's identity, and put its record. */
void skey_make(
    struct work *w, const struct device *d, uint32_t id, uint8_t pub[32], uint8_t sig[64]);
/* The one after that in use, if it is loaded and there; pub and sig are filled then. 1 or 0; -1:
 * its record cannot be read. */
int skey_next(struct work *w, const struct device *d, uint8_t pub[32], uint8_t sig[64]);
int skey_need_next(struct work *w, const struct device *d);
/* rekey.c */
extern const struct verb verb_reseal;
/* lid_move.c */
extern const struct verb verb_lid_move;
/* session.c */
extern const struct verb verb_sessions, verb_encrypt, verb_decrypt;
int session_address_ok(const Keyd__Address *a);
void session_need(struct request *r, int domain, const Keyd__Address *a);
/* trust.c */
extern const struct verb verb_identities, verb_identity_decide, verb_identity_forget;

#endif
