/* The state of keyd: its accounts, its secrets in locked memory, its three channels. */
#ifndef WARD_CORE_H
#define WARD_CORE_H

#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/config.h"
#include "ipc/channel.h"
#include "keyd/device.h"
#include "keyd/keyring.h"
#include "keyd/noise.h"
#include "keyd/paircode.h"
#include "keyd/passkey.h"
#include "keyd/vault.h"

#define NOISE_SLOTS 64

/* A handshake whose finish has not been asked for yet. */
struct noise_slot {
	int used;
	unsigned account;
	uint64_t conn;
	uint64_t order; /* the lowest is the oldest */
	struct noise_hello hello;
};

/* Every long-lived secret of the process: one piece of memory, locked, not dumped, with guard
 * pages. */
struct secrets {
	/* until the store is unlocked, then wiped */
	struct keyring_source source, next_source; /* next_source: len 0 = none was given */
	uint8_t master[32]; /* both until then, or until the keys are changed if they can be */
	uint8_t next_master[32];
	uint8_t vault_key[ACCOUNTS_MAX][32]; /* seals */
	uint8_t old_key[ACCOUNTS_MAX][32];   /* while keys are changed: also opens */
	struct paircode code[ACCOUNTS_MAX];
	struct passkey passkey[ACCOUNTS_MAX];
	struct noise_slot noise[NOISE_SLOTS];
	uint64_t noise_order;
	struct device device; /* of the request that runs, opened for it and wiped after it */
};

struct request;
struct keyd;

/* How far the records of an account are under the new key: rekey.c. */
#define RESEAL_MAX 32
struct reseal {
	unsigned domain;                 /* of the listing, by its place in the contract's enum */
	char cursor[VAULT_NAME_MAX + 1]; /* the last name that was listed of it */
	/* of the domain: those that are not known to be committed under the new key */
	char names[RESEAL_MAX][VAULT_NAME_MAX + 1];
	size_t n;
	uint64_t resealed;
	int sealed;  /* none is left */
	int rekeyed; /* the database has its next key */
};

enum rekey_state {
	REKEY_NONE,
	REKEY_READY,   /* a next master key was given */
	REKEY_WRITING, /* the headers of both are on their way to the disk */
	REKEY_RUNNING,
	REKEY_ENDING, /* the header of the next alone is on its way */
	REKEY_DONE    /* ward.conf still names the old one */
};

/* What becomes of another identity than the one that is known: ward.conf, [account NAME]. */
enum trust_policy {
	TRUST_ACCEPT,
	TRUST_HOLD,
	TRUST_VERIFIED_ONLY /* holds, and encrypts to verified ones alone */
};

struct account {
	struct keyd *keyd;
	unsigned number;
	enum trust_policy policy;
	char name[ACCOUNT_NAME_MAX + 1];
	STAILQ_HEAD(request_list, request)
	queue; /* in order of arrival; the first one runs or waits for records */
	unsigned queued;
	int running; /* its queue is being run: no second time below */
	/* the chain that the newest full handshake verified, while it is not kept: verb_noise.c */
	struct noise_chain chain;
	uint64_t chain_conn;
	unsigned ik_failures; /* since an IK handshake was good */
	int ik_off;           /* the kept chain is not used, until another one is kept */
	struct reseal reseal;
	struct event *passkey_end; /* wipes what a passkey exchange left; NULL: none was begun */
};

enum keyd_state {
	KEYD_STARTING, /* the keyring is on its way: requests wait */
	KEYD_UNLOCKED,
	KEYD_LOCKED /* for good: every request is answered "locked" */
};

struct keyd {
	struct event_base *base;
	struct secrets *secrets;
	struct vault *vault;
	enum keyd_state state;
	const char *locked_reason; /* stable word, if LOCKED */
	const char *key_source;    /* "file", "credential", "passphrase" */
	int fast_curve;
	uint8_t noise_root[32];
	struct channel *apid, *netd, *stored;
	struct account accounts[ACCOUNTS_MAX];
	unsigned naccounts;
	size_t queued_bytes; /* of all requests that wait */
	enum rekey_state rekey;
	uint8_t headers[2 * KEYRING_HEADER_LEN]; /* of the master key and of the next; no secret */
	uint64_t rekey_order;                    /* vault_order when it began */
	int service_rekeyed;
};

/* Everything that may open files or ask the kernel for entropy, and the self-tests: before
 * confinement. Returns whether libsignal runs on our curve. Dies if a self-test fails. */
int core_warm_up(void);

/* cache_bytes: bound of the vault's cache. Dies if the secrets cannot be locked in memory. */
struct keyd *core_new(struct event_base *base, size_t cache_bytes);
void core_free(struct keyd *k); /* wipes */
void core_add_account(struct keyd *k, const char *name);
struct account *core_account(struct keyd *k, const char *name); /* NULL = unknown */

/* The master key is known: derive what belongs to each account. */
void core_unlock(struct keyd *k);
/* Seal with the keys of the next master key from now on, and open with the old ones as well. */
void core_next_keys(struct keyd *k);
/* Wipe those, and both master keys. */
void core_forget_old_keys(struct keyd *k);
/* Never mind: answer everything with "locked". */
void core_lock(struct keyd *k, const char *reason);

#endif
