/* keyd, the process that holds the keys: boot, confinement, the secret, three channels, the loop.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "common/config.h"
#include "common/log.h"
#include "ipc/channel.h"
#include "keyd/core.h"
#include "keyd/dispatch.h"
#include "keyd/store.h"
#include "sandbox/child.h"

#define OUT_MAX                                                                                    \
	(48u * 1024 * 1024) /* of a channel's queue: two of the largest answers and more           \
			     */

/* The scheme of a key source in ward.conf: "file:…", "credential:…" or "passphrase:…". What follows
 * it is the parent's affair: keyd gets a descriptor. NULL = the entry is empty. */
static const char *
source_name(const struct config *c, const char *entry)
{
	static const char *const names[] = {"credential", "passphrase", "file"};
	const char *value = config_str(c, "service", entry);
	size_t i, len;

	if (value[0] == '\0')
		return NULL;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		len = strlen(names[i]);
		if (strncmp(value, names[i], len) == 0 && (value[len] == ':' || value[len] == '\0'))
			return names[i];
	}
	fatalx("%s begins with none of file:, credential:, passphrase:", entry);
}

/* A key of test.noise_root_key takes the place of the service's: a man in the middle by wish, so
 * say so. */
static void
take_root_override(struct keyd *k, const struct config *c)
{
	const char *hex = config_str(c, "test", "noise_root_key");
	size_t len = 0;

	if (hex[0] == '\0')
		return;
	if (sodium_hex2bin(k->noise_root, 32, hex, strlen(hex), NULL, &len, NULL) == -1 ||
	    len != 32 || strlen(hex) != 64)
		fatalx("test.noise_root_key is not 64 hexadecimal digits");
	log_warnx("TEST ONLY: test.noise_root_key is set: this is not the real service's "
		  "certificate root");
}

static void
add_account(struct keyd *k, const struct config *c, size_t i)
{
	const char *policy = config_account_str(c, i, "identity");
	struct account *a;

	core_add_account(k, config_account_name(c, i));
	a = core_account(k, config_account_name(c, i));
	if (strcmp(policy, "hold") == 0)
		a->policy = TRUST_HOLD;
	else if (strcmp(policy, "verified_only") == 0)
		a->policy = TRUST_VERIFIED_ONLY;
}

/* Read all of the descriptor, once, and close it. */
static void
read_secret(struct keyring_source *source, const char *scheme, int fd)
{
	uint8_t *bytes = sodium_malloc(KEYRING_SOURCE_MAX);
	size_t len = 0;
	ssize_t n;
	const char *why;

	if (bytes == NULL)
		fatal("cannot allocate locked memory");
	while (len < KEYRING_SOURCE_MAX &&
	       (n = read(fd, bytes + len, KEYRING_SOURCE_MAX - len)) != 0) {
		if (n == -1 && errno != EINTR)
			fatal("cannot read the master key");
		if (n > 0)
			len += (size_t)n;
	}
	(void)close(fd); /* nothing was written */
	why = keyring_parse(source,
	    strcmp(scheme, "passphrase") == 0 ? KEYRING_PASSPHRASE : KEYRING_RAW, bytes, len);
	sodium_free(bytes);
	if (why != NULL)
		fatalx("the %smaster key from the %s cannot be used: %s",
		    fd == KEYD_FD_SECRET ? "" : "next ", scheme, why);
}

static struct channel *
open_channel(
    struct child *child, int fd, const char *name, const struct channel_row *rows, size_t nrows)
{
	const struct channel_config cfg = {
	    .name = name,
	    .rows = rows,
	    .nrows = nrows,
	    .owner = child,
	    .out_max_bytes = OUT_MAX,
	    .on_broken = child_channel_broken,
	    .on_closed = child_channel_closed,
	};
	struct channel *ch = channel_new(child->base, fd, &cfg);

	if (ch == NULL)
		fatalx("no channel %s", name);
	return ch;
}

int
main(int argc, char *argv[])
{
	static struct channel_row apid[DISPATCH_MAX], netd[DISPATCH_MAX];
	struct child child;
	const char *next;
	struct keyd *k;
	size_t i;
	int fast, status;

	child_boot(&child, ROLE_KEYD, argc, argv);
	fast = core_warm_up();
	k = core_new(child.base, VAULT_CACHE);
	k->fast_curve = fast;
	if (!fast)
		log_warnx("libsignal runs on its own, slow curve: it was linked with -Bsymbolic");
	if ((k->key_source = source_name(child.config, "master_key")) == NULL)
		fatalx("service.master_key is empty");
	next = source_name(child.config, "next_master_key");
	take_root_override(k, child.config);
	for (i = 0; i < config_account_count(child.config); i++)
		add_account(k, child.config, i);
	child.owner = k;

	child_confine(&child);

	read_secret(&k->secrets->source, k->key_source, KEYD_FD_SECRET);
	if (next != NULL)
		read_secret(&k->secrets->next_source, next, KEYD_FD_NEXT_SECRET);
	else
		(void)close(KEYD_FD_NEXT_SECRET);
	k->apid =
	    open_channel(&child, KEYD_FD_APID, "keyd: apid", apid, dispatch_rows(PEER_APID, apid));
	k->netd =
	    open_channel(&child, KEYD_FD_NETD, "keyd: netd", netd, dispatch_rows(PEER_NETD, netd));
	k->stored = open_channel(&child, KEYD_FD_STORED, "keyd: stored", store_rows, store_nrows);
	child_ready(&child);
	store_unlock(k); /* stored answers when it is up; until then requests wait */
	status = child_run(&child);
	core_free(k);
	return status;
}
