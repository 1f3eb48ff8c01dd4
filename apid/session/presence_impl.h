/* What the files of presence share; nobody else includes it. */
#ifndef WARD_PRESENCE_IMPL_H
#define WARD_PRESENCE_IMPL_H

#include <sys/queue.h>

#include "apid/message/contacts.h"
#include "apid/message/tctoken.h"
#include "apid/session/account.h"

/* Somebody whose presence is wanted. */
struct watch {
	TAILQ_ENTRY(watch) link;
	struct presence *p;
	struct jid to;        /* as the wire names him, bare; or a group */
	struct person person; /* of a person */
	int64_t ends_ms;
	struct tctoken_search *search; /* before he is subscribed to */
};

struct presence_lookup;
struct watching;

struct presence {
	struct account *a;
	int64_t until_ms; /* a client holds us available; 0 = none does */
	int told;         /* the service knows it, on this connection */
	struct event *expiry;
	TAILQ_HEAD(watch_list, watch) watches;
	size_t nwatches;
	struct event *sweep;                       /* the next watch that ends */
	TAILQ_HEAD(watchings, watching) watchings; /* requests of clients */
	TAILQ_HEAD(presence_lookups, presence_lookup) lookups;
	size_t nlookups;
};

/* presence.c */
void presence_withdraw(struct presence *p);
/* presence_watch.c */
void presence_watch_all(struct presence *p); /* subscribe to all of them, on this connection */
void presence_watch_clear(struct presence *p);
void presence_watchings_clear(struct presence *p);
void presence_sweep(evutil_socket_t fd, short what, void *arg);
/* presence_in.c */
void presence_lookups_clear(struct presence *p);

#endif
