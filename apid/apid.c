/* apid: the process of clients and of the protocol. Boots confined, then runs rpc/ and the engine.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <sodium.h>
#include <zlib.h>

#include "apid/channels.h"
#include "apid/rpc/access.h"
#include "apid/rpc/rpc.h"
#include "apid/session/engine.h"
#include "apid/session/faults.h"
#include "common/log.h"
#include "sandbox/child.h"

/* Whatever opens a file or asks the kernel at its first use does it now. */
static void
warm_up(void)
{
	uint8_t in[64] = {0}, out[256];
	uLongf len = sizeof(out);

	if (sodium_init() == -1)
		fatalx("libsodium does not start");
	json_object_seed(0);
	json_decref(json_object()); /* the first object draws the seed */
	if (compress(out, &len, in, sizeof(in)) != Z_OK)
		fatalx("zlib does not work");
}

/* Clients wait in the backlog of the socket until then. */
static void
serve(struct service *s)
{
	rpc_start(s, APID_FD_LISTEN);
}

/* The engine runs before rpc: the first client finds all accounts. */
static void
on_go(struct child *c, const char *report, size_t len)
{
	struct service *s = c->owner;

	if ((s->sandbox_report = strndup(report != NULL ? report : "", len)) == NULL)
		fatal("sandbox report");
	s->last_end_fault = faults_in_row(s->sandbox_report);
	engine_start(s);
	engine_when_settled(s, serve);
}

static void
on_stop(struct child *c)
{
	struct service *s = c->owner;

	if (s->rpc != NULL)
		rpc_stop(s);
	engine_stop(s);
	child_exit(c, 0);
}

int
main(int argc, char **argv)
{
	struct child child;
	struct service service = {0};
	int status;

	child_boot(&child, ROLE_APID, argc, argv);
	warm_up();
	rpc_access_init(child.config); /* reads /etc/passwd: before the door closes */
	child_confine(&child);

	service.base = child.base;
	service.config = child.config;
	if ((service.flows = flow_set_new(child.base)) == NULL)
		fatal("flows");
	child.owner = &service;
	child.on_go = on_go;
	child.on_stop = on_stop;
	engine_init(&service);
	channels_open(&service, &child, APID_FD_KEYD, APID_FD_NETD, APID_FD_STORED,
	    child_channel_broken, child_channel_closed);
	child_ready(&child);
	status = child_run(&child);
	engine_free(&service);
	flow_set_free(service.flows);
	free(service.sandbox_report);
	return status;
}
