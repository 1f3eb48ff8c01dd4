/* The channels of apid: what keyd, netd and stored may send unasked, as tables. */
#include "apid/channels.h"

#include <string.h>

#include "apid/session/engine.h"
#include "common/log.h"
#include "common/wire/node.h"
#include "ipc/netd.pb-c.h"
#include "ipc/stored.pb-c.h"
#include "sandbox/child.h"

#define OUT_MAX  (64u * 1024 * 1024) /* 256 stanzas under way, each up to its bound */
#define OUT_HIGH (4u * 1024 * 1024)

static struct service *
service_of(void *owner)
{
	return ((struct child *)owner)->owner;
}

static int
account_ok(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= ACCOUNT_NAME_MAX;
}

/* ------------------------------------------------------------------ netd */

static int
got_link_state(struct message *m, void *owner)
{
	const Netd__LinkState *st = (const Netd__LinkState *)m->pb;

	if (!account_ok(st->account)) {
		log_warnx("netd: a link state without an account");
		return -1;
	}
	engine_link_state(service_of(owner), st);
	return 0;
}

static int
got_stanza(struct message *m, void *owner)
{
	const Netd__Stanza *st = (const Netd__Stanza *)m->pb;

	if (!account_ok(st->account) || st->conn == 0 || st->node.len == 0 ||
	    st->node.len > NODE_MAX_ENCODED) {
		log_warnx("netd: a stanza that cannot be one");
		return -1;
	}
	engine_stanza(service_of(owner), st);
	return 0;
}

const struct channel_row channels_from_netd[] = {
    {NETD__TYPE__LINK_STATE, "LINK_STATE", 5, 2048, CHANNEL_ALL_STATES, 0,
	&netd__link_state__descriptor, got_link_state},
    {NETD__TYPE__STANZA_IN, "STANZA_IN", 6, NODE_MAX_ENCODED + 128, CHANNEL_ALL_STATES, 0,
	&netd__stanza__descriptor, got_stanza},
};
const size_t channels_nfrom_netd = sizeof(channels_from_netd) / sizeof(channels_from_netd[0]);

static void
netd_drained(struct channel *ch, void *owner)
{
	engine_netd_drained(service_of(owner));
}

/* ------------------------------------------------------------------ stored */

static int
got_store_state(struct message *m, void *owner)
{
	const Stored__StoreState *st = (const Stored__StoreState *)m->pb;

	if (strlen(st->log_id) > 32 || st->n_accounts > ACCOUNTS_MAX) {
		log_warnx("stored: a store state out of its bounds");
		return -1;
	}
	engine_store_state(service_of(owner), st);
	return 0;
}

static int
got_task_state(struct message *m, void *owner)
{
	const struct service *s = service_of(owner);

	if (s->hooks.task_state != NULL)
		s->hooks.task_state(s->hooks_arg, m->pb);
	return 0;
}

const struct channel_row channels_from_stored[] = {
    {STORED__TYPE__STORE_STATE, "STORE_STATE", 8, 65536, CHANNEL_ALL_STATES, 0,
	&stored__store_state__descriptor, got_store_state},
    {STORED__TYPE__TASK_STATE, "TASK_STATE", 8, 65536, CHANNEL_ALL_STATES, 0,
	&stored__task_state__descriptor, got_task_state},
};
const size_t channels_nfrom_stored = sizeof(channels_from_stored) / sizeof(channels_from_stored[0]);

/* ------------------------------------------------------------------ all */

static struct channel *
open_one(struct service *s, int fd, struct channel_config *cfg)
{
	struct channel *ch = channel_new(s->base, fd, cfg);

	if (ch == NULL)
		fatal("%s: channel", cfg->name);
	return ch;
}

void
channels_open(struct service *s, void *owner, int keyd_fd, int netd_fd, int stored_fd,
    void (*on_broken)(struct channel *, void *, const char *),
    void (*on_closed)(struct channel *, void *))
{
	struct channel_config cfg = {.owner = owner,
	    .out_max_bytes = OUT_MAX,
	    .out_high = OUT_HIGH,
	    .on_broken = on_broken,
	    .on_closed = on_closed};

	cfg.name = "apid: keyd";
	s->keyd = open_one(s, keyd_fd, &cfg);
	cfg.name = "apid: netd";
	cfg.rows = channels_from_netd;
	cfg.nrows = channels_nfrom_netd;
	cfg.on_drained = netd_drained;
	s->netd = open_one(s, netd_fd, &cfg);
	cfg.name = "apid: stored";
	cfg.rows = channels_from_stored;
	cfg.nrows = channels_nfrom_stored;
	cfg.on_drained = NULL;
	s->stored = open_one(s, stored_fd, &cfg);
}

void
channels_close(struct service *s)
{
	/* who is told by one that its request failed may turn to another */
	channel_close(s->keyd);
	channel_close(s->netd);
	channel_close(s->stored);
	channel_free(s->keyd);
	channel_free(s->netd);
	channel_free(s->stored);
	s->keyd = s->netd = s->stored = NULL;
}
