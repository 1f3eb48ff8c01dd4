/* What the tests of apid/rpc share: a service with a fake engine and a fake stored behind real
 * channels, and clients on a real Unix socket, all in one loop. */
#ifndef APID_RPC_FAKE_H
#define APID_RPC_FAKE_H

#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <unistd.h>

#include "apid/rpc/access.h"
#include "apid/rpc/api_table.h"
#include "apid/rpc/rpc.h"
#include "common/log.h"
#include "tests/unit/apid_fake_client.h"
#include "tests/unit/apid_fake_engine.h"
#include "tests/unit/apid_fake_stored.h"

static void
fake_broken(struct channel *ch, void *owner, const char *why)
{
	fail_msg("a channel broke: %s", why);
}

static void
fake_start_rpc(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	static unsigned counter;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n = snprintf(fake.socket_name, sizeof(fake.socket_name), "ward-test-%d-%u",
	    (int)getpid(), ++counter);

	memcpy(sun.sun_path + 1, fake.socket_name, (size_t)n);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
	    0);
	assert_int_equal(listen(fd, 512), 0);
	fake.service.last_seq = fake.last_seq;
	rpc_start(&fake.service, fd);
}

/* extra: text of the config behind the accounts */
static void
fake_start(const char *extra, size_t naccounts)
{
	static const char *const names[] = {"ops", "lab", "third", "fourth"};
	struct channel_config near = {
	    .name = "apid: stored", .rows = fake_near_rows, .nrows = 1, .on_broken = fake_broken};
	struct channel_config far = {.name = "stored: apid",
	    .rows = fake_rows,
	    .nrows = sizeof(fake_rows) / sizeof(fake_rows[0]),
	    .on_broken = fake_broken};
	char text[2048], err[256];
	size_t len = 0;
	int pair[2];

	memset(&fake, 0, sizeof(fake));
	for (size_t i = 0; i < naccounts; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "[account %s]\n", names[i]);
		fake.accounts[i] = calloc(1, sizeof(struct account));
		snprintf(fake.accounts[i]->name, 33, "%s", names[i]);
		fake.accounts[i]->state = "online";
	}
	len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", extra);
	fake.config = config_parse("test", text, len, err, sizeof(err));
	if (fake.config == NULL)
		fail_msg("%s", err);
	fake.base = event_base_new();
	fake.first_seq = 1;
	fake.task_fd = -1;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	fake.stored = channel_new(fake.base, pair[1], &far);
	fake.service.base = fake.base;
	fake.service.config = fake.config;
	fake.service.stored = channel_new(fake.base, pair[0], &near);
	fake.service.flows = flow_set_new(fake.base);
	fake.service.accounts = fake.accounts;
	fake.service.naccounts = naccounts;
	fake.service.store_ready = fake.service.keyd_ready = 1;
	snprintf(fake.service.log_id, sizeof(fake.service.log_id), "%s", FAKE_LOG_ID);
	snprintf(fake.service.boot_id, sizeof(fake.service.boot_id), "b00t");
	rpc_access_init(fake.config);
	fake_start_rpc();
}

static void
fake_stop(void)
{
	rpc_stop(&fake.service);
	flow_set_free(fake.service.flows);
	channel_free(fake.service.stored);
	channel_free(fake.stored);
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	event_base_free(fake.base);
	config_free(fake.config);
	access_reset();
	for (size_t i = 0; i < 4; i++)
		free(fake.accounts[i]);
}

#endif
