/* stored: the process that keeps what must not be forgotten, encrypted, in its one folder. */
#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "common/log.h"
#include "ipc/channel.h"
#include "sandbox/child.h"
#include "stored/dispatch.h"
#include "stored/store.h"

static void
on_peer_lost(struct store *s, struct channel *ch, const char *why)
{
	if (why != NULL)
		child_channel_broken(ch, s->owner, why);
	else
		child_channel_closed(ch, s->owner);
}

static void
leave(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	child_exit(arg, 0);
}

/* Answer what is ready, write all back, leave nothing to recover. The answers go out in this turn
 * of the loop, and nothing more is taken in. */
static void
on_stop(struct child *c)
{
	const struct timeval next = {0, 0};
	struct store *s = c->owner;

	store_stop(s);
	channel_pause(s->keyd);
	channel_pause(s->apid);
	if (event_base_once(c->base, -1, EV_TIMEOUT, leave, c, &next) == -1)
		child_exit(c, 0);
}

static const struct store_backend *
backend_of(const struct config *c)
{
	const char *name = config_str(c, "store", "backend");

	return strcmp(name, store_memory.name) == 0 ? &store_memory : &store_sqlcipher;
}

static struct store *
make_store(struct child *c, const struct store_backend *backend)
{
	const char *names[ACCOUNTS_MAX] = {NULL};
	struct store_options options;
	struct store *s;
	size_t i, n = config_account_count(c->config);

	for (i = 0; i < n && i < ACCOUNTS_MAX; i++)
		names[i] = config_account_name(c->config, i);
	store_options_from(&options, c->config);
	if ((s = store_new(c->base, backend, &options, names, i)) == NULL)
		fatalx("cannot make the store");
	s->owner = c;
	s->peer_lost = on_peer_lost;
	return s;
}

int
main(int argc, char **argv)
{
	const struct store_backend *backend;
	struct child child;
	struct store *s;
	int status;

	child_boot(&child, ROLE_STORED, argc, argv);
	backend = backend_of(child.config);
	if (sodium_init() == -1 || backend->start() == -1)
		fatalx("libraries did not start");
	s = make_store(&child, backend);
	if (fchdir(STORED_FD_DATA) == -1)
		fatal("data folder");
	child_confine(&child);
	if (dispatch_keyd_attach(s, STORED_FD_KEYD) == -1 ||
	    dispatch_apid_attach(s, STORED_FD_APID) == -1)
		fatalx("cannot make the channels");
	child.owner = s;
	child.on_stop = on_stop;
	child_ready(&child);
	status = child_run(&child);
	store_free(s);
	return (status);
}
