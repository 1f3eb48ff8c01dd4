/* One account: who it is, how it stands, and the parts of the engine that work for it. Shared by
 * the files of session/ and message/ only; rpc/ sees apid/service.h. */
#ifndef WARD_ACCOUNT_H
#define WARD_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "apid/service.h"
#include "common/jid.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/stored.pb-c.h"

enum account_state {
	ACCOUNT_UNLINKED,
	ACCOUNT_LINKING,
	ACCOUNT_PASSKEY_REQUIRED, /* a part of linking, as the next: it waits for a person */
	ACCOUNT_PASSKEY_CONFIRM,
	ACCOUNT_CONNECTING,
	ACCOUNT_SYNCING,
	ACCOUNT_ONLINE,
	ACCOUNT_BACKOFF,
	ACCOUNT_REPLACED,
	ACCOUNT_LOGGED_OUT,
	ACCOUNT_RESTRICTED,
	ACCOUNT_BANNED,
	ACCOUNT_OUTDATED,
	ACCOUNT_STOPPED,
	ACCOUNT_STATES
};

struct calls;
struct contacts;
struct dirty;
struct device_refresh;
struct digest;
struct erase;
struct held;
struct iq_table;
struct keys;
struct login;
struct marks;
struct outbox;
struct pair;
struct phone_asks;
struct unread_expiry;
struct poison;
struct prekeys;
struct props;
struct presence;
struct receipts;
struct receipts_in;
struct recv_lane;
struct restoring;
struct restrictions;
struct resume;
struct rotate;
struct sender;
struct state_log;
struct tctokens;
struct typing;
struct waits;

/* Public facts of the device, as keyd told them. */
struct account_device {
	int exists, linked;
	uint32_t generation, registration_id;
	uint8_t noise_pub[32], identity_pub[32];
	uint32_t skey_id;
	uint8_t skey_pub[32], skey_sig[64];
	uint8_t *signed_identity; /* ADVSignedDeviceIdentity, beside every pkmsg */
	size_t signed_identity_len;
	struct jid jid, lid; /* with device */
	int has_jid, has_lid;
};

/* What stored keeps for apid, as far as it is needed in memory. */
#define ACCOUNT_SALT_MAX 128
struct account_record {
	char push_name[128];
	char business_name[128];
	char platform[32];
	char account_user[JID_USER_MAX + 1]; /* number of the account, also of a former device */
	char account_lid[JID_USER_MAX + 1];  /* and its LID, "" if it was not told */
	int server_has_prekeys, lid_migrated, initial_sync_pending, paused;
	int privacy_known, read_receipts_disabled; /* session/privacy.c */
	int32_t login_counter;
	char app_version[24]; /* that the service was told last */
	char client_expires_version[24];
	int64_t client_expires_ms;
	int64_t linked_ms;
	int64_t skey_due_ms; /* rotation of the signed prekey; 0 = never rotated */
	uint8_t routing_info[1024];
	size_t routing_info_len;
	uint8_t nct_salt[ACCOUNT_SALT_MAX]; /* by which a cstoken is made */
	size_t nct_salt_len;                /* 0 = none is known */
};

struct account {
	struct service *svc;
	char name[ACCOUNT_NAME_MAX + 1];
	size_t index; /* in service.accounts */

	struct account_device dev;
	struct account_record rec;
	int store_ok; /* stored opened its database */
	char store_reason[32];
	int restored; /* it came from a backup, and session/restored.c has still to do its part */
	struct restoring *restoring;
	int opened; /* both records are read: the account can work */
	int opening;
	int disabled; /* by the config: nothing is done for it */

	/* state machine (session/state.c) */
	enum account_state state;
	char reason[64];
	const char *user_action;
	unsigned code, subcode; /* subcode: of a ban */
	int64_t since_ms, next_attempt_ms, until_ms;
	struct state_log *log;
	struct event *until_timer;

	/* the link (session/connect.c) */
	uint64_t conn; /* the open connection, 0 = none */
	uint64_t next_iq;
	uint8_t iq_r[2];
	int logged_in; /* <success> came on it */
	int link_wanted;
	int64_t skew_ms;      /* clock of the service minus ours */
	int64_t logged_in_ms; /* monotonic */
	int verdict_given;    /* <failure> or <stream:error> came on it */
	int rate_limited;     /* 429 did */
	int wants_room;       /* it was given up for a full disk: again when there is room */
	int unlinking;
	struct erase *erasing; /* session/unlink.c */
	int64_t restarts[4];
	unsigned rate_steps;
	struct event *kick_timer;
	size_t unsent_over; /* bytes sent while netd's channel was full */

	uint64_t privacy_iq; /* a question of session/privacy.c is on its way */

	struct calls *calls;
	struct contacts *contacts;
	struct dirty *dirty;
	struct held *held;
	struct iq_table *iq;
	struct login *login;
	struct marks *marks;
	struct pair *pair;
	struct keys *keys;
	struct phone_asks *phone_asks;
	struct unread_expiry *unread_expiry;
	struct poison *poison; /* session/poison.c */
	struct prekeys *prekeys;
	struct props *props;
	struct resume *resume;
	struct digest *digest;
	struct device_refresh *device_refresh;
	struct rotate *rotate;
	struct presence *presence;
	struct recv_lane *recv;
	struct receipts *receipts;
	struct receipts_in *receipts_in;
	struct outbox *outbox;
	struct restrictions *restrictions;
	struct sender *sender;
	struct tctokens *tokens;
	struct typing *typing;
	struct waits *waits;

	struct account_counters {
		uint64_t stanzas_in, stanzas_out, undecodable, unknown;
		uint64_t received, sent, undecryptable, duplicates, receipts_in, receipts_out;
		uint64_t held, released, identity_changes;
		uint64_t retries_in, retries_out, retries_bare, failed_sends, unknown_sends;
		uint64_t store_failures, late_iqs, connects;
		uint64_t prekeys_uploaded, prekey_upload_failures, digest_checks, digest_mismatches;
		uint64_t skey_rotations, skey_refused, lid_moves, device_refreshes;
		uint64_t transients_lost;
		uint64_t mex_failures, pauses, stale_lists;
		uint64_t phone_asks, poison;
	} n;
};

/* Made once at start from the config; torn down at exit. */
struct account *account_new(struct service *s, const char *name, size_t index);
void account_free(struct account *a);

/* Take what keyd told of the device. */
void account_take_device(struct account *a, const Keyd__DeviceState *d);
/* Take what stored told (the fields that are set). */
void account_take_record(struct account *a, const Stored__DeviceRecord *r);
/* Read both records, then go where the account stands. Asked again by itself until it works. */
void account_open(struct account *a);

/* Is this one of our own devices / this very device, in either namespace? */
int account_is_own(const struct account *a, const struct jid *j);
int account_is_this_device(const struct account *a, const struct jid *j);
/* Seconds since the epoch by the clock of the service. */
int64_t account_server_time(const struct account *a);

/* The store failed on an incoming stanza: nothing more is answered on this connection, and it is
 * made anew after a while so that the service delivers again. */
void account_store_failed(struct account *a, const char *reason);
/* There is room on the disk again: those that wait for it connect at once. */
void account_disk_again(struct account *a);

/* A unit failed or was refused: the error that a client gets for it. */
struct api_error api_error_store(const char *reason);
/* The account is not open: the keys are locked, or its store cannot be used. */
struct api_error api_error_closed(const struct account *a);

#endif
