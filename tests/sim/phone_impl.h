/* What the phone's files share; nobody else includes it. */
#ifndef SIM_PHONE_IMPL_H
#define SIM_PHONE_IMPL_H

#include "common/buf.h"
#include "tests/sim/phone.h"
#include "tests/sim/phone_records.h"
#include "tests/sim/phone_signal.h"

#define SENT_KEPT 8192

/* A message that went out, kept for those who ask again. */
struct phone_sent {
	char id[32];
	struct jid chat;
	uint8_t *message; /* encoded Message */
	size_t len;
	char type[12], edit[4]; /* of its stanza */
	int hide;
};

/* What another account gave, and when it was given ours. */
struct phone_token {
	struct account *of;
	uint8_t bytes[32];
	size_t len;
	int64_t t, given;
};

/* A companion that waits for its code to be typed. */
struct phone_code {
	int waiting; /* 0 none, 1 hello came, 2 ours went out */
	char ref[128];
	uint8_t wrapped[80], companion_noise[32];
	uint8_t e_priv[32], companion_e[32];
	char typed[9];
};

/* Linking with a passkey (phone_passkey.c). */
struct phone_passkey {
	enum {
		PHONE_PASSKEY_NONE,
		PHONE_PASSKEY_SCANNED,
		PHONE_PASSKEY_PROLOGUE,
		PHONE_PASSKEY_CODE,
		PHONE_PASSKEY_OPENED,
		PHONE_PASSKEY_LINKED,
		PHONE_PASSKEY_FAILED
	} state;
	uint8_t secret[32]; /* of the QR code; then the new one */
	int has_secret, proved;
	uint8_t e_priv[32], e_pub[32], nonce[32];
	uint8_t identity[256], commitment[32], companion_pub[32];
	size_t identity_len;
	unsigned device_type;
	char ref[128], code[10], error[64];
	uint8_t noise[32], companion_identity[32];
};

struct phone {
	struct device *self;
	struct account *account;
	struct phone_signal *signal;
	struct phone_settings set;
	struct records inbox, receipts;
	struct phone_sent sent[SENT_KEPT];
	size_t nsent;
	struct phone_code code;
	struct phone_passkey passkey;
	char forge[16];
	int pump_due;
	uint64_t next_iq;
	uint8_t sync_key_id[6], sync_key[32]; /* the app-state key that it shares */
	struct map *secrets;                  /* message id -> its secret */
	struct phone_token *tokens;
	size_t ntokens;
	struct map *retries; /* message id -> how often it asked again */
	struct held *held;   /* what it read, for its companions */
	size_t nheld;
};

/* phone.c */
struct node *phone_iq(struct phone *p, const char *type, const char *xmlns); /* begun */
void phone_answer(struct phone *p, const struct node *n);                    /* the plain ack */
struct jid phone_signal_name(const struct jid *device); /* under which its session lives */
/* phone_send.c */
int phone_session(struct phone *p, const struct jid *device); /* opens one if there is none */
/* A peer message (encoded Message) to an own companion. */
int phone_send_peer(struct phone *p, struct device *d, const struct buf *message);
void phone_resend(struct phone *p, const struct node *receipt);
/* phone_give.c: it keeps the last messages that it read, and gives them to a companion that could
 * not read them. chat: bare; own: sent by this account. */
void phone_hold(struct phone *p, const char *id, const struct jid *chat, const struct jid *from,
    int own, int64_t t, const E2e__Message *m);
void phone_give(struct phone *p, struct device *d, const char *request_id,
    const E2e__PeerDataOperationRequestMessage *rq);
void phone_held_free(struct phone *p);
/* phone_receive.c */
void phone_message(struct phone *p, const struct node *n);
/* phone_secrets.c */
int phone_needs_secret(const struct phone_said *said);
/* The message of one that phone_needs_secret. 0, or -1: the secret of its target is not known. */
int phone_secret_build(struct phone *p, const struct phone_said *said, const struct jid *own,
    const struct jid *chat, const char *id, struct buf *out, struct phone_stanza *stanza);
/* A secret for what others may add to a message of its own. */
void phone_secret_put(struct phone *p, const char *id, struct buf *message);
void phone_secret_note(struct phone *p, const char *id, const E2e__Message *m);
/* phone_tokens.c */
void phone_token_in(struct phone *p, const struct node *n);
/* tctoken or cstoken for a message to that account. */
void phone_token_add(struct phone *p, struct account *to, struct node *n);
/* The message went out: ours, once a week. */
void phone_token_give(struct phone *p, struct account *to);
/* phone_pair.c */
void phone_code_notification(struct phone *p, const struct node *n);
/* Signs a companion of these keys and uploads. The device number, or -1 and *why. */
int phone_link_keys(struct phone *p, const char *ref, const uint8_t noise[32],
    const uint8_t identity[32], const uint8_t secret[32], const char **why);
/* phone_sync.c */
void phone_share_keys(struct phone *p, struct device *d);

#endif
