/* What the played engine, the played stored and the clients of the tests of apid/rpc share. */
#ifndef APID_FAKE_H
#define APID_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>

#include "apid/service.h"
#include "common/config.h"
#include "ipc/channel.h"
#include "ipc/stored.pb-c.h"

#define FAKE_LOG_ID  "9f3c0a1b9f3c0a1b9f3c0a1b9f3c0a1b"
#define FAKE_EVENTS  4096
#define FAKE_WAIT_MS 20000

struct account {
	char name[33];
	const char *state;
	int paused;
};

struct fake_call {
	const void *client;
	engine_done_fn *fn;
	void *arg;
	struct account *account;
	char what[32];
	char text[256], to[128], key[65], method[8], phone[32];
	enum send_wait wait;
	unsigned timeout_ms;
	uint32_t uid;
	uint8_t hash[32];
	int done;
};

struct fake {
	struct event_base *base;
	struct config *config;
	struct service service;
	struct account *accounts[4];
	char socket_name[64];
	int listening;
	/* engine */
	struct fake_call calls[512];
	size_t ncalls;
	int engine_hold; /* calls wait until fake_answer */
	int full;
	unsigned cancelled;
	/* stored */
	struct channel *stored; /* its end */
	struct {
		uint64_t seq;
		char account[33], type[64], body[300];
	} events[FAKE_EVENTS];
	size_t nevents;
	uint64_t first_seq, last_seq;
	struct {
		char name[65];
		uint32_t uid;
		uint64_t acked;
	} consumers[64];
	size_t nconsumers;
	unsigned acks, reads, largest_limit;
	int hold_acks;
	uint32_t held_ack; /* request id */
	uint64_t held_seq;
	size_t held_consumer;
	const char *open_error, *health;
	/* long tasks of stored: what was asked last, and how it is answered */
	uint32_t task_type;
	char task_name[80];
	int task_fd; /* -1, or what came with it */
	uint64_t task, cancelled_task;
	int task_hold; /* its number is not told */
	uint32_t task_request;
	const char *task_error;
};
static struct fake fake;

/* One turn of the loop: at once, or when something happens, at the latest after 5 ms. */
static void
fake_nothing(evutil_socket_t fd, short what, void *arg)
{
}

static void
fake_turn(void)
{
	static const struct timeval soon = {.tv_usec = 5000};

	event_base_once(fake.base, -1, EV_TIMEOUT, fake_nothing, NULL, &soon);
	event_base_loop(fake.base, EVLOOP_ONCE);
}

#endif
