/* A peer that breaks the contract: every row of keyd's three tables, every way; only that channel
 * ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/unit/keyd_bench.h"
#include "tests/unit/slow.h"

#define KEY     "01234567890123456789012345678901"
#define FD_APID 100
#define FD_NETD 101

static struct bench b;

static void
write_all(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, bytes, len);
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (n == -1 && errno == EAGAIN)
			event_base_loop(b.base, EVLOOP_NONBLOCK);
		else
			return; /* keyd has closed it already */
	}
}

static void
header(uint8_t h[FRAME_HEADER], uint32_t type, uint32_t len, uint32_t id, uint16_t flags)
{
	const uint32_t words[3] = {type, len, id};
	int i;

	for (i = 0; i < 12; i++)
		h[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
	h[12] = (uint8_t)(flags >> 8);
	h[13] = (uint8_t)flags;
	h[14] = h[15] = 0;
}

static void
write_frame(int fd, uint32_t type, uint32_t id, uint16_t flags, const uint8_t *payload, size_t len)
{
	uint8_t h[FRAME_HEADER];

	header(h, type, (uint32_t)len, id, flags);
	write_all(fd, h, sizeof(h));
	write_all(fd, payload, len);
}

static void
write_with_descriptor(int fd, const uint8_t *bytes, size_t len)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c;
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c.room)};
	int passed = open("/dev/null", O_RDONLY | O_CLOEXEC);

	memset(&c, 0, sizeof(c));
	c.h.cmsg_len = CMSG_LEN(sizeof(int));
	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&c.h), &passed, sizeof(int));
	assert_true(sendmsg(fd, &m, 0) == (ssize_t)len);
	close(passed);
}

/* keyd goes on serving the other peer. */
static void
assert_alive(int fd)
{
	static const uint8_t hello[] = {0x0a, 5, 'a', 'l', 'i', 'c', 'e', 0x10, 77};
	uint8_t answer[FRAME_HEADER];
	int tries;

	if (fd == FD_APID)
		write_frame(fd, KEYD__TYPE__STATUS, 9, 0, NULL, 0);
	else
		write_frame(fd, KEYD__TYPE__NOISE_HELLO, 9, 0, hello, sizeof(hello));
	for (tries = 0; tries < 1000; tries++) {
		event_base_loop(b.base, EVLOOP_NONBLOCK);
		if (read(fd, answer, sizeof(answer)) == FRAME_HEADER) {
			assert_int_equal(answer[3], fd == FD_APID ? KEYD__TYPE__STATUS_REPLY
								  : KEYD__TYPE__NOISE_HELLO_REPLY);
			return;
		}
	}
	fail_msg("keyd does not answer its other peer");
}

enum attack {
	SHORT,      /* a byte less than the row's least */
	LONG,       /* a byte more than its most */
	WRONG_KIND, /* a notice instead of a request, or the reverse */
	GARBAGE,    /* of a good length, no protobuf */
	UNKNOWN,    /* a message with a field that the contract has not */
	DESCRIPTOR, /* with a descriptor */
	MARKED,     /* marked as if with one */
	ANSWER,     /* an answer to nothing */
	BAD_ERROR,  /* an error to nothing */
	CUT,        /* ends in the middle of the header */
	CUT_LATE,   /* ends in the middle of the payload */
	ATTACKS
};

static const char *
attack(int fd, const struct channel_row *row, enum attack how)
{
	uint32_t id = row->flags & ROW_REQUEST ? 1 : 0;
	uint8_t h[FRAME_HEADER], bytes[64];

	memset(bytes, 0xff, sizeof(bytes));
	switch (how) {
	case SHORT:
		if (row->min == 0)
			return NULL;
		write_frame(fd, row->type, id, 0, bytes, row->min - 1);
		return "at least";
	case LONG:
		header(h, row->type, row->max + 1, id, 0);
		write_all(fd, h, sizeof(h));
		return "";
	case WRONG_KIND:
		write_frame(fd, row->type, id ? 0 : 1, 0, bytes, row->min);
		return id ? "without an id" : "with a request id";
	case GARBAGE:
		if (row->max == 0)
			return NULL;
		write_frame(fd, row->type, id, 0, bytes, row->min > 0 ? row->min : 1);
		return row->name;
	case UNKNOWN:
		if (row->max == 0)
			return NULL;
		memset(bytes, 0x78, sizeof(bytes)); /* field 15, varint 0x78, again and again */
		write_frame(fd, row->type, id, 0, bytes, (row->min + 1) & ~1u);
		return row->name;
	case DESCRIPTOR:
		header(h, row->type, row->min, id, FRAME_FD);
		write_with_descriptor(fd, h, sizeof(h));
		write_all(fd, bytes, row->min);
		return "";
	case MARKED:
		write_frame(fd, row->type, id, FRAME_FD, bytes, row->min);
		return "";
	case ANSWER:
		write_frame(fd, row->type, 12345, FRAME_REPLY, bytes, 0);
		return "not in flight";
	case BAD_ERROR:
		write_frame(fd, 0, 12345, FRAME_REPLY | FRAME_ERROR, bytes, 0);
		return "not in flight";
	case CUT:
		header(h, row->type, row->min, id, 0);
		write_all(fd, h, 7);
		shutdown(fd, SHUT_WR);
		return "";
	case CUT_LATE:
		if (row->min == 0)
			return NULL;
		header(h, row->type, row->min, id, 0);
		write_all(fd, h, sizeof(h));
		write_all(fd, bytes, row->min - 1);
		shutdown(fd, SHUT_WR);
		return "";
	case ATTACKS:
		break;
	}
	return NULL;
}

static void
stop(void)
{
	bench_stop(&b);
	close(FD_APID);
	close(FD_NETD);
}

static void
try_row(int fd, const struct channel_row *row, enum attack how)
{
	const char *want;
	int tries;

	bench_start(&b, KEY, 0);
	if ((want = attack(fd, row, how)) != NULL) {
		for (tries = 0; tries < 1000 && b.broken[0] == '\0' && !b.closed; tries++)
			event_base_loop(b.base, EVLOOP_NONBLOCK);
		if (b.broken[0] == '\0')
			fail_msg("%s, attack %d: the channel was not broken", row->name, how);
		if (strstr(b.broken, want) == NULL)
			fail_msg("%s, attack %d: \"%s\" says nothing of \"%s\"", row->name, how,
			    b.broken, want);
		assert_alive(fd == FD_APID ? FD_NETD : FD_APID);
	}
	stop();
}

static void
test_every_row(void **state)
{
	for (int how = 0; how < ATTACKS; how++)
		for (size_t i = 0; i < dispatch_nverbs; i++)
			try_row(dispatch_verbs[i].who == PEER_APID ? FD_APID : FD_NETD,
			    &dispatch_verbs[i].row, (enum attack)how);
}

/* What one peer may ask is not in the other's table; answers are in nobody's. */
static void
test_wrong_peer(void **state)
{
	uint32_t type;
	size_t i;
	int fd, allowed;

	for (fd = FD_APID; fd <= FD_NETD; fd++) {
		for (type = 0; type < 64; type++) {
			for (i = allowed = 0; i < dispatch_nverbs; i++)
				allowed |= dispatch_verbs[i].row.type == type &&
					   (dispatch_verbs[i].who == PEER_APID) == (fd == FD_APID);
			if (allowed)
				continue;
			bench_start(&b, KEY, 0);
			write_frame(fd, type, 1, 0, NULL, 0);
			for (i = 0; i < 1000 && b.broken[0] == '\0'; i++)
				event_base_loop(b.base, EVLOOP_NONBLOCK);
			assert_non_null(strstr(b.broken, "not one that this peer may send"));
			stop();
		}
	}
}

/* stored: more records than were asked for, and a unit that keyd knows nothing of. */
static void
test_stored(void **state)
{
	Stored__UnitDone d = STORED__UNIT_DONE__INIT;
	Stored__Records none = STORED__RECORDS__INIT;
	static const uint8_t open_alice[] = {0x0a, 5, 'a', 'l', 'i', 'c', 'e'};
	uint8_t answer[FRAME_HEADER];
	int tries;

	bench_start(&b, KEY, 0);
	d.account = (char *)(uintptr_t) "alice";
	d.unit = 4711;
	d.committed = 1;
	channel_notify(b.stored, STORED__TYPE__UNIT_DONE, &d.base);
	d.account = (char *)(uintptr_t) "nobody";
	channel_notify(b.stored, STORED__TYPE__UNIT_DONE, &d.base);
	bench_settle(&b);
	assert_string_equal(b.broken, "");
	/* an answer without the record that was asked for: the request ends with an error */
	b.hold_records = 1;
	write_frame(FD_APID, KEYD__TYPE__ACCOUNT_OPEN, 5, 0, open_alice, sizeof(open_alice));
	for (tries = 0; tries < 1000 && b.nheld == 0; tries++)
		event_base_loop(b.base, EVLOOP_NONBLOCK);
	assert_int_equal(b.nheld, 1);
	channel_reply(b.stored, b.held[0]->id, STORED__TYPE__RECORDS, &none.base);
	message_release(b.held[0]);
	b.nheld = 0;
	for (tries = 0; tries < 1000; tries++) {
		event_base_loop(b.base, EVLOOP_NONBLOCK);
		if (read(FD_APID, answer, sizeof(answer)) == FRAME_HEADER)
			break;
	}
	assert_int_equal(answer[13], FRAME_REPLY | FRAME_ERROR);
	b.hold_records = 0; /* a handshake looks at the device */
	assert_alive(FD_NETD);
	stop();
}

/* More requests than may wait are refused with "busy"; those that wait are answered in the end. */
static void
test_too_many(void **state)
{
	static const uint8_t open_alice[] = {0x0a, 5, 'a', 'l', 'i', 'c', 'e'};
	uint8_t bytes[4096];
	size_t got = 0, i, n;
	ssize_t r;

	bench_start(&b, KEY, 0);
	b.hold_records = 1;
	for (i = 1; i <= 1100; i++)
		write_frame(FD_APID, KEYD__TYPE__ACCOUNT_OPEN, (uint32_t)i, 0, open_alice,
		    sizeof(open_alice));
	for (i = 0; i < 50; i++)
		event_base_loop(b.base, EVLOOP_NONBLOCK);
	assert_int_equal(b.k->accounts[0].queued, 1024);
	bench_release(&b);
	for (i = 0; i < 2000; i++) {
		event_base_loop(b.base, EVLOOP_NONBLOCK);
		while ((r = read(FD_APID, bytes, sizeof(bytes))) > 0)
			for (n = 0; n + 4 <= (size_t)r; n++)
				got += memcmp(bytes + n, "busy", 4) == 0;
	}
	assert_int_equal(b.k->accounts[0].queued, 0);
	assert_true(got > 60 && got <= 76); /* one may be cut by the reads above */
	assert_string_equal(b.broken, "");
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_row),
	    cmocka_unit_test(test_wrong_peer),
	    cmocka_unit_test(test_stored),
	    cmocka_unit_test(test_too_many),
	};

	log_set_level(LOG_LV_ERR);
	log_open("keyd_hostile",
	    open("/dev/null", O_WRONLY | O_CLOEXEC)); /* hundreds of expected lines */
	(void)core_warm_up();
	alarm(120 * test_slow());
	return cmocka_run_group_tests_name("keyd: hostile peers", tests, NULL, NULL);
}
