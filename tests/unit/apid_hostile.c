/* Peers of apid that break the contract: every row of its three tables, every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apid/channels.h"
#include "apid/session/engine.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/frame.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/netd.pb-c.h"
#include "ipc/stored.pb-c.h"
#include "sandbox/child.h"

enum peer {
	KEYD,
	NETD,
	STORED
};

static struct {
	struct event_base *base;
	struct config *config;
	struct service svc;
	struct child child;
	int fd[3]; /* the far ends */
	struct channel *broken_channel;
	int broken, closed;
} h;

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	assert_ptr_equal(owner, &h.child);
	h.broken_channel = ch;
	h.broken++;
}

static void
on_closed(struct channel *ch, void *owner)
{
	h.closed++;
}

static void
begin(void)
{
	static const char text[] = "[log]\nlevel = err\n[account a]\n";
	char err[200];
	int p[3][2];

	memset(&h, 0, sizeof(h));
	h.config = config_parse("test", text, sizeof(text) - 1, err, sizeof(err));
	assert_non_null(h.config);
	h.base = event_base_new();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p[i]), 0);
		assert_int_equal(fcntl(p[i][0], F_SETFL, O_NONBLOCK), 0);
		h.fd[i] = p[i][1];
	}
	h.svc.base = h.base;
	h.svc.config = h.config;
	h.svc.flows = flow_set_new(h.base);
	h.child.owner = &h.svc;
	engine_init(&h.svc);
	channels_open(&h.svc, &h.child, p[0][0], p[1][0], p[2][0], on_broken, on_closed);
}

static void
end(void)
{
	engine_stop(&h.svc);
	engine_free(&h.svc);
	for (int i = 0; i < 3; i++)
		close(h.fd[i]);
	flow_set_free(h.svc.flows);
	event_base_free(h.base);
	config_free(h.config);
}

static void
turn(void)
{
	for (int i = 0; i < 50; i++)
		event_base_loop(h.base, EVLOOP_NONBLOCK);
}

static void
put(int fd, const void *bytes, size_t len, int with_fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} c;
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (with_fd) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		memset(&c, 0, sizeof(c));
		m.msg_control = c.space;
		m.msg_controllen = sizeof(c.space);
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&c.align), &null, sizeof(null));
		assert_true(sendmsg(fd, &m, MSG_NOSIGNAL) > 0);
		close(null);
		return;
	}
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			bytes = (const char *)bytes + n;
			len -= (size_t)n;
		} else if (n == -1 && errno == EAGAIN) {
			event_base_loop(h.base, EVLOOP_NONBLOCK);
		} else {
			return; /* apid has closed it */
		}
	}
}

static void
header(uint8_t out[FRAME_HEADER], uint32_t type, uint32_t len, uint32_t id, uint16_t flags)
{
	const uint32_t words[3] = {type, len, id};

	for (int i = 0; i < 12; i++)
		out[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
	out[12] = (uint8_t)(flags >> 8);
	out[13] = (uint8_t)flags;
	out[14] = out[15] = 0;
}

struct frame_spec {
	uint32_t type, len, id;
	uint16_t flags;
	const uint8_t *payload;
	size_t payload_len; /* bytes that are really sent */
	int fd;
};

/* Send it from that peer: must it break that channel, and that alone? */
static void
expect(enum peer p, const struct frame_spec *f, int broken, const char *what)
{
	uint8_t head[FRAME_HEADER];
	struct channel *of[3];

	begin();
	of[KEYD] = h.svc.keyd;
	of[NETD] = h.svc.netd;
	of[STORED] = h.svc.stored;
	header(head, f->type, f->len, f->id, f->flags);
	put(h.fd[p], head, sizeof(head), f->fd);
	if (f->payload_len > 0)
		put(h.fd[p], f->payload, f->payload_len, 0);
	turn();
	if (h.broken != broken || (broken && h.broken_channel != of[p]))
		fail_msg("peer %d, type %u, %s: broken %d", p, f->type, what, h.broken);
	end();
}

/* A good message for a row, packed. */
static uint8_t *
good(const struct channel_row *row, size_t *len)
{
	static char a[] = "a", none[] = "", log_id[] = "x";
	static uint8_t frame[] = {0, 0xf8, 1, 2};

	if (row->type == NETD__TYPE__STANZA_IN && row->desc == &netd__stanza__descriptor) {
		Netd__Stanza m = NETD__STANZA__INIT;

		m.account = a;
		m.conn = 1;
		m.node.data = frame;
		m.node.len = sizeof(frame);
		return pb_pack(&m.base, len);
	}
	if (row->desc == &netd__link_state__descriptor) {
		Netd__LinkState m = NETD__LINK_STATE__INIT;

		m.account = a;
		m.conn = 1;
		m.state = NETD__LINK_STATE__STATE__CLOSED;
		return pb_pack(&m.base, len);
	}
	if (row->desc == &stored__task_state__descriptor) {
		Stored__TaskState m = STORED__TASK_STATE__INIT;

		return pb_pack(&m.base, len);
	}
	Stored__StoreState m = STORED__STORE_STATE__INIT;
	Stored__AccountOpened s = STORED__ACCOUNT_OPENED__INIT;

	s.account = none;
	m.log_id = log_id;
	m.service = &s;
	return pb_pack(&m.base, len);
}

static void
row_every_way(enum peer p, const struct channel_row *row)
{
	static uint8_t zeros[256];
	size_t len;
	uint8_t *ok = good(row, &len);
	struct frame_spec f = {
	    .type = row->type, .payload = ok, .payload_len = len, .len = (uint32_t)len};
	struct frame_spec bad;

	assert_true(len >= row->min && len <= row->max);
	expect(p, &f, 0, "as it should be");
	bad = f;
	bad.id = 1;
	expect(p, &bad, 1, "a notice with a request id");
	bad = f;
	bad.flags = FRAME_REPLY;
	expect(p, &bad, 1, "a reply to nothing");
	bad = f;
	bad.flags = FRAME_REPLY | FRAME_ERROR;
	bad.id = 7;
	expect(p, &bad, 1, "an error for a request that was never made");
	bad = f;
	bad.fd = 1;
	expect(p, &bad, 1, "with a descriptor that is not marked");
	bad.flags = FRAME_FD;
	expect(p, &bad, 1, "with a descriptor");
	bad = f;
	bad.payload_len = 0;
	bad.len = row->max + 1;
	expect(p, &bad, 1, "too long by one, refused by its header");
	if (row->min > 0) {
		bad.payload = zeros;
		bad.len = row->min - 1;
		bad.payload_len = row->min - 1;
		expect(p, &bad, 1, "too short by one");
	}
	bad.payload = zeros;
	bad.len = bad.payload_len = row->min + 20;
	expect(p, &bad, 1, "no protobuf");
	bad = f;
	bad.payload_len = len / 2;
	expect(p, &bad, 0, "cut in half: waits");
	free(ok);
}

static void
rows(void **state)
{
	for (size_t i = 0; i < channels_nfrom_netd; i++)
		row_every_way(NETD, &channels_from_netd[i]);
	for (size_t i = 0; i < channels_nfrom_stored; i++)
		row_every_way(STORED, &channels_from_stored[i]);
}

/* The table of another peer is not this one's; keyd may send nothing at all. */
static void
wrong_peer(void **state)
{
	for (enum peer p = KEYD; p <= STORED; p++) {
		for (uint32_t type = 0; type < 64; type++) {
			struct frame_spec f = {.type = type, .len = 10, .payload_len = 10};
			int row = 0;

			for (size_t i = 0; p == NETD && i < channels_nfrom_netd; i++)
				row |= channels_from_netd[i].type == type;
			for (size_t i = 0; p == STORED && i < channels_nfrom_stored; i++)
				row |= channels_from_stored[i].type == type;
			f.payload = (const uint8_t *)"0123456789";
			if (!row)
				expect(p, &f, 1, "a type that this peer may not send");
		}
	}
}

/* Within the shape, outside the sense. */
static void
senseless(void **state)
{
	static char empty[] = "", longer[] = "aaaaaaaaaabbbbbbbbbbccccccccccddd", a[] = "a";
	static char log_id[] = "0123456789012345678901234567890123";
	static uint8_t frame[] = {0, 0xf8, 1, 2};
	const struct {
		char *account;
		uint64_t conn;
		size_t len;
	} stanzas[] = {{empty, 1, 4}, {longer, 1, 4}, {a, 0, 4}, {a, 1, 0}};
	Stored__AccountOpened s = STORED__ACCOUNT_OPENED__INIT;
	Stored__StoreState st = STORED__STORE_STATE__INIT;
	struct frame_spec f = {0};
	size_t len;
	uint8_t *b;

	for (size_t i = 0; i < sizeof(stanzas) / sizeof(stanzas[0]); i++) {
		Netd__Stanza m = NETD__STANZA__INIT;

		m.account = stanzas[i].account;
		m.conn = stanzas[i].conn;
		m.node.data = frame;
		m.node.len = stanzas[i].len;
		b = pb_pack(&m.base, &len);
		f = (struct frame_spec){.type = NETD__TYPE__STANZA_IN,
		    .payload = b,
		    .len = (uint32_t)len,
		    .payload_len = len};
		expect(NETD, &f, 1, "a stanza that cannot be one");
		free(b);
	}
	s.account = empty;
	st.log_id = log_id;
	st.service = &s;
	b = pb_pack(&st.base, &len);
	f = (struct frame_spec){.type = STORED__TYPE__STORE_STATE,
	    .payload = b,
	    .len = (uint32_t)len,
	    .payload_len = len};
	expect(STORED, &f, 1, "a log id that is too long");
	free(b);
}

/* Of an account or a connection that is not there: no fault, dropped. */
static void
strangers(void **state)
{
	static char other[] = "other";
	static uint8_t frame[] = {0, 0xf8, 1, 2};
	Netd__Stanza m = NETD__STANZA__INIT;
	struct frame_spec f = {.type = NETD__TYPE__STANZA_IN};
	size_t len;
	uint8_t *b;

	m.account = other;
	m.conn = 5;
	m.node.data = frame;
	m.node.len = sizeof(frame);
	b = pb_pack(&m.base, &len);
	f.payload = b;
	f.len = (uint32_t)len;
	f.payload_len = len;
	expect(NETD, &f, 0, "another account");
	free(b);
}

static void
a_peer_goes(void **state)
{
	for (enum peer p = KEYD; p <= STORED; p++) {
		begin();
		assert_int_equal(shutdown(h.fd[p], SHUT_RDWR), 0);
		turn();
		assert_int_equal(h.closed + h.broken, 1);
		end();
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows),
	    cmocka_unit_test(wrong_peer),
	    cmocka_unit_test(senseless),
	    cmocka_unit_test(strangers),
	    cmocka_unit_test(a_peer_goes),
	};

	log_open("apid", open("/dev/null", O_WRONLY | O_CLOEXEC)); /* each refusal is a line */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
