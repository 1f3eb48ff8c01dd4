/* The simulated phone of an account: device 0, a client of the service like any other. It knows of
 * the service's model only who has which LID and which devices; everything else goes by stanzas. */
#ifndef SIM_PHONE_H
#define SIM_PHONE_H

#include <jansson.h>

#include "common/wire/node.h"
#include "tests/sim/account.h"
#include "tests/sim/phone_content.h"

struct phone;

struct phone *phone_new(struct device *self);
void phone_free(struct phone *p);
struct device *phone_device(const struct phone *p);

/* --- the service's side (offline.c, devices.c, prekeys.c) --- */
int phone_is_on(const struct phone *p);
int phone_pump_due(struct phone *p); /* 1 = somebody must run the queue; asked once until pumped */
void phone_pumped(struct phone *p);
void phone_stanza(struct phone *p, const struct node *n); /* a stanza that reached it */
/* LID_MIGRATION_MAPPING_SYNC to one of its companions; other_lid: an older LID of all, 0 = none. */
void phone_tell_lids(struct phone *p, struct device *d, uint64_t other_lid);
void phone_make_prekey(struct phone *p, struct prekey *out);
void phone_forget_device(struct phone *p, unsigned id);
/* Another identity and registration id; sessions and sent messages are gone. */
void phone_begin_anew(struct phone *p);
/* Signs the list of the account's devices as it is and uploads it. */
void phone_sign_list(struct phone *p);
/* A companion is active: the first time it gets key share, history, app state (at the latest when
 * the phone is on again). */
void phone_new_companion(struct phone *p, struct device *d);
void phone_provision(struct phone *p, struct device *d); /* the same, whenever */

/* --- what its user does (control.c) --- */
struct phone_settings {
	int on;        /* 0: what comes waits at the service */
	int receipts;  /* delivery receipts and `sender` receipts for what it gets */
	int provision; /* keys and history for new companions */
	int gives;     /* messages that a companion could not read; 0: it says that it has none */
	int echo;      /* answers each text with one */
	char echo_prefix[64];
	unsigned echo_ms;
	int tokens; /* gives its token to whom it writes, and sends those that it was given */
};
struct phone_settings *phone_settings(struct phone *p);
void phone_settings_changed(struct phone *p);

/* Reads a QR code and links what shows it. The device number, 0 if the passkey comes first, or -1
 * and *why. */
int phone_scan(struct phone *p, const char *qr, const char **why);
/* The ref in a QR text. 0 or -1. */
int phone_qr_ref(const char *qr, char *ref, size_t size);
/* Types the 8-character code of a companion that waits. 0 = the first step went out, or -1. */
int phone_enter_code(struct phone *p, const char *code, const char **why);
/* "none", "signature", "hmac", "key_index": what the next signing gets wrong. 0 or -1. */
int phone_forge(struct phone *p, const char *what);

/* Text to a user. id_out: 32 bytes. 0, or -1 if nobody could be written to. */
int phone_send_text(struct phone *p, const struct jid *chat, const char *text, char id_out[32]);
/* The same with an id made before (phone_new_id), for planned messages. */
int phone_send_text_id(struct phone *p, const struct jid *chat, const char *text, const char *id);
/* An edit, a reply, a reaction … */
int phone_say(
    struct phone *p, const struct jid *chat, const struct phone_said *said, const char *id);
void phone_new_id(struct phone *p, char id_out[32]);
/* In which addressing it writes to an account. */
struct jid phone_chat(const struct phone *p, const struct account *to);
/* Loses its sessions with all devices of an account. */
void phone_forget(struct phone *p, const struct account *of);
/* Sends any stanza of its own. */
void phone_send_node(struct phone *p, struct node *n);
/* Read receipts for messages of its inbox. How many there were. */
size_t phone_read(struct phone *p, const char *const *ids, size_t n);
/* Unlinks a companion. 0, or -1: there is none of that number. */
int phone_unlink(struct phone *p, unsigned device);

/* Since the start, of all phones. */
struct phone_stats {
	uint64_t read;             /* messages decrypted */
	uint64_t duplicates;       /* messages that had been decrypted before */
	uint64_t decrypt_failures; /* messages that could not be decrypted */
	uint64_t retries_asked;    /* retry receipts that went out */
	uint64_t given_up;         /* of those failures: not asked again */
	uint64_t resent;           /* messages that were asked for again by companions */
	uint64_t given;     /* messages that an own companion could not read, and asked for */
	uint64_t asked_for; /* such requests */
};
extern struct phone_stats phone_stats;

/* Records from number `after` on (0 = all kept), at most `limit`. */
json_t *phone_inbox(const struct phone *p, uint64_t after, size_t limit);
json_t *phone_receipts(const struct phone *p, uint64_t after, size_t limit);
uint64_t phone_inbox_last(const struct phone *p);
uint64_t phone_receipts_last(const struct phone *p);

#endif
