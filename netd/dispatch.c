/* What may come from apid and from keyd: one table a peer. */
#include "netd/link.h"
#include "netd/netd.h"

#define OVERHEAD   128 /* account, conn and field headers around the one big field */
#define PAYLOAD    (16u * 1024)
#define ROUTING    1024
#define STANZA_MAX ((1u << 24) - 17)

static int
run_link_up(struct message *m, void *owner)
{
	return link_up(owner, (const void *)m->pb);
}

static int
run_link_down(struct message *m, void *owner)
{
	return link_down(owner, (const void *)m->pb);
}

static int
run_link_good(struct message *m, void *owner)
{
	return link_good(owner, (const void *)m->pb);
}

static int
run_stanza_out(struct message *m, void *owner)
{
	return link_stanza(owner, (const void *)m->pb);
}

static int
run_status(struct message *m, void *owner)
{
	return links_status(owner, m->id);
}

const struct channel_row netd_rows_apid[] = {
    {NETD__TYPE__LINK_UP, "LINK_UP", 4, PAYLOAD + ROUTING + OVERHEAD, CHANNEL_ALL_STATES, 0,
	&netd__link_up__descriptor, run_link_up},
    {NETD__TYPE__LINK_DOWN, "LINK_DOWN", 3, OVERHEAD, CHANNEL_ALL_STATES, 0,
	&netd__link_down__descriptor, run_link_down},
    {NETD__TYPE__LINK_GOOD, "LINK_GOOD", 5, OVERHEAD, CHANNEL_ALL_STATES, 0,
	&netd__link_good__descriptor, run_link_good},
    {NETD__TYPE__STANZA_OUT, "STANZA_OUT", 7, STANZA_MAX + OVERHEAD, CHANNEL_ALL_STATES, 0,
	&netd__stanza__descriptor, run_stanza_out},
    {NETD__TYPE__STATUS, "STATUS", 0, 0, CHANNEL_ALL_STATES, ROW_REQUEST,
	&netd__status_get__descriptor, run_status},
};
const size_t netd_nrows_apid = sizeof(netd_rows_apid) / sizeof(netd_rows_apid[0]);

/* keyd answers and never asks: every row would be one too many, so the table has none. */
const struct channel_row netd_rows_keyd[1] = {{0}};
const size_t netd_nrows_keyd = 0;

void
netd_apid_drained(struct channel *ch, void *owner)
{
	links_go_on(owner);
}
