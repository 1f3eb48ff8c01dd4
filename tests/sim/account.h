/* The model: accounts and their devices, as the service knows them (protocol page 11, section 5).
 */
#ifndef SIM_ACCOUNT_H
#define SIM_ACCOUNT_H

#include <sys/queue.h>

#include <stddef.h>
#include <stdint.h>

#include "common/jid.h"
#include "common/wire/node.h"

struct conn;
struct phone;

struct prekey {
	uint8_t id[3], pub[32];
};

/* What is told wrong of a device's keys, so many times (prekeys.forge). */
enum key_forgery {
	FORGE_DIGEST_HASH, /* another hash */
	FORGE_DIGEST_ID,   /* one more id, which the device never had */
	FORGE_DIGEST_NONE, /* 404 */
	FORGE_COUNT,       /* another number: see count_lie */
	FORGE_SIGNATURE,   /* a bundle whose signed prekey is not signed */
	FORGE_NO_KEY,      /* a bundle without a one-time key */
	FORGE_UPLOAD,      /* stored, and answered with an error */
	FORGE_ROTATE,      /* the same of a rotation */
	FORGERIES
};

/* Public key material of a device, as registered and uploaded. */
struct device_keys {
	uint8_t registration[4];
	uint8_t identity[32];
	uint8_t skey_id[3], skey_pub[32], skey_sig[64];
	struct prekey *pool; /* one-time keys in order; [first, count) are unused */
	size_t first, count, cap;
	int uploaded; /* an upload came: the device can be written to */
	int low_told; /* "prekeys low" was sent since the last upload */
	unsigned forge[FORGERIES];
	int count_lie, forge_code;
	struct map *offered;                 /* every id that was ever uploaded, and its key */
	unsigned uploads, rotations, reused; /* reused: an id came again with another key */
};

/* A stanza that waits for its answer (offline.c). */
struct entry;
TAILQ_HEAD(entries, entry);

enum device_phase {
	DEVICE_GONE,    /* no connection */
	DEVICE_PASSIVE, /* logged in, has not said active */
	DEVICE_BACKLOG, /* gets what was queued */
	DEVICE_LIVE
};

#define RECENT_IDS 4096

struct device {
	TAILQ_ENTRY(device) link;
	struct account *account;
	unsigned id; /* 0 = the phone */
	uint8_t noise_pub[32];
	struct device_keys keys;
	uint32_t key_index;
	uint8_t *signed_identity; /* ADVSignedDeviceIdentity, complete; NULL for the phone */
	size_t signed_identity_len;
	char platform[32]; /* what it called itself at registration */

	struct conn *conn;
	enum device_phase phase;
	struct entries queue;
	struct entry *unsent; /* the first entry that this connection has not been given */
	size_t queued, queued_bytes;
	unsigned credit;  /* pulled mode: stanzas that may still go out */
	unsigned backlog; /* given since `offline_preview` */
	int adv_forged;   /* what is wrong with its device identity (reregister.c); 0 = nothing */
	int provisioned;  /* the phone has sent it keys and history */
	int available;
	unsigned mark;    /* scratch of message fan-out */
	uint64_t *recent; /* hashes of the ids of its newest messages, RECENT_IDS of them */
	unsigned recent_next;
	uint64_t logins, messages_in, messages_out;
};
TAILQ_HEAD(devices, device);

/* What is wrong with the acks of its messages (ack.c). */
struct ack_plan {
	unsigned how; /* enum ack_how */
	int code, limited;
	unsigned ms, left;
	char to[JID_USER_MAX + 1];
};

/* What it is told of its restrictions (mex.c). */
struct mex_state {
	int lock_active;
	int64_t lock_ends; /* unix seconds; 0 = not told */
	char enforcement[32];
	int64_t total, used, cycle_start, cycle_end;
	char capping[24];
	int fail_code, fail_retryable; /* the next queries are answered with errors[] */
	unsigned fail_count;
	int mute; /* they are not answered at all */
};

struct login_refusal {
	int reason; /* 0 = none */
	int stream; /* a <stream:error> with code in place of <failure>; reason is anything then */
	int after;  /* behind <success> */
	int stay;   /* the connection is left open */
	char conflict[24], child[24];
	int code, expire;
	int count; /* logins still to refuse; 0 = until lifted */
	char location[16];
};

struct account {
	TAILQ_ENTRY(account) link;
	char name[64];
	char pn[JID_USER_MAX + 1], lid[JID_USER_MAX + 1];
	char push_name[128];
	int lid_hidden;   /* it has no LID yet, as far as anybody can tell */
	int lid_migrated; /* told to companions at pairing; the phone then writes to LIDs */
	int pulled;       /* backlog in pulled mode */
	int strict;       /* nack mixed or wrong addressing with 400 */
	unsigned device_limit;
	int passkey; /* the service asks for it before it links a device */
	uint8_t passkey_priv[32], passkey_pub[32], passkey_id[16];
	struct devices devices; /* the phone first */
	unsigned ndevices, next_device;
	uint32_t raw_id, next_key_index;
	struct phone *phone;
	struct login_refusal refusal;
	struct ack_plan ack;
	struct mex_state mex;
	int64_t last_seen;   /* when its last device that was available ceased to be; 0 = never */
	int read_receipts;   /* the privacy setting that clients ask for */
	char *blocklist[64]; /* JIDs */
	int lid_told;        /* in <success>: 0 = as it is, 1 = not at all, 2 = another one */
	uint64_t logins_tried;
	char client_version[40]; /* of the last login */
	size_t nblocklist;
	struct node *privacy[16]; /* <category name value> nodes changed by clients */
	size_t nprivacy;
	uint8_t *key_index_list; /* ADVSignedKeyIndexList as the phone signed it last */
	size_t key_index_list_len;
	int64_t key_index_list_ts;
	struct account **askers; /* who asked for its device list, and may hold it */
	size_t naskers;
	int restricted;         /* strangers need a token to write to it (tokens.c) */
	int takes_tc, takes_cs; /* which of the two it takes */
	int tells_salt;         /* the phone's history has the salt */
	uint8_t nct_salt[32];
	struct token_rights *rights;
	struct collections *collections; /* app state (appstate.c) */
};
TAILQ_HEAD(accounts, account);

extern struct accounts accounts;

struct account_options {
	const char *name, *push_name, *pn, *lid; /* NULL = made up */
	int lid_migrated, lid_hidden, pulled, strict;
};
/* Makes an account with its phone. NULL and *why when a name is taken or malformed. */
struct account *account_new(const struct account_options *o, const char **why);
void account_free_all(void);
/* What is not said otherwise on the command line: 1 = pulled. */
extern int account_default_pulled;

struct account *account_named(const char *name);
/* `who` has the device list of a now: it is told of changes. */
void account_asked(struct account *a, struct account *who);
/* By PN or LID user and server. */
struct account *account_of(const struct jid *j);
struct device *account_device(struct account *a, unsigned id);
struct device *account_phone(struct account *a);
/* The device that a JID names: device 0 if it names none. NULL if there is none. */
struct device *account_device_of(const struct jid *j);

struct device *account_device_add(struct account *a, unsigned id);
/* Forgets it: its queue, its keys; the caller has ended the connection. */
void account_device_remove(struct device *d);

/* JIDs of an account or of one of its devices, in one addressing or the other. */
/* The LID also while it is hidden: what phones name sessions by. */
struct jid account_lid(const struct account *a);
struct jid account_jid(const struct account *a, int lid);
struct jid device_jid(const struct device *d, int lid);
/* 1 if the JID lives on the LID side. */
int account_is_lid(const struct jid *j);

/* "2:…" over all devices of the accounts given, in one addressing (protocol page 05, section 5). */
void account_phash(struct account *const *set, size_t n, int lid, char out[16]);
/* The same over JIDs. */
void account_phash_jids(const struct jid *set, size_t n, char out[16]);

#endif
