/* What may come from apid and keyd: every row too short, too long, as the wrong kind of frame, with
 * a descriptor, malformed, out of its bounds. Each must break that channel and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "ipc/frame.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/netd.pb-c.h"
#include "netd/conn.h"
#include "netd/link.h"
#include "netd/netd.h"
#include "tests/unit/slow.h"

/* ---------------------------------------------------------------- a transport that only remembers
 */

struct transport {
	const struct transport_handler *h;
	void *arg;
	struct buf out;
};

static struct transport *the_transport;
static unsigned transports;

static struct transport *
fake_connect(struct transport_engine *e, const struct transport_handler *h, void *arg)
{
	struct transport *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->h = h;
	t->arg = arg;
	the_transport = t;
	transports++;
	return t;
}

static struct buf *
fake_room(struct transport *t, size_t len)
{
	return &t->out;
}

static void
fake_flush(struct transport *t)
{
}

static size_t
fake_queued(const struct transport *t)
{
	return t->out.len;
}

static void
fake_pause(struct transport *t, int paused)
{
}

static void
fake_close(struct transport *t)
{
	if (t == NULL)
		return;
	if (t == the_transport)
		the_transport = NULL;
	transports--;
	buf_clear(&t->out);
	free(t);
}

static const struct transport_ops fake = {.name = "fake",
    .connect = fake_connect,
    .room = fake_room,
    .flush = fake_flush,
    .queued = fake_queued,
    .pause = fake_pause,
    .close = fake_close};

/* ---------------------------------------------------------------- netd with raw peers */

struct world {
	struct event_base *base;
	struct netd nd;
	int apid, keyd; /* the test's ends */
	struct frame_reader *from_apid_side, *from_keyd_side;
	int broken;
	char why[256];
};

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	struct netd *nd = owner;
	struct world *w = nd->child;

	w->broken++;
	strncpy(w->why, why, sizeof(w->why) - 1);
}

static int64_t
any_size(void *arg, uint32_t type, uint32_t id, uint16_t flags, int *wants_fd)
{
	*wants_fd = 0;
	return FRAME_PAYLOAD_MAX;
}

static struct channel *
one(struct world *w, const char *name, const struct channel_row *rows, size_t n, int *other)
{
	struct channel_config cfg = {.name = name,
	    .rows = rows,
	    .nrows = n,
	    .owner = &w->nd,
	    .on_drained = netd_apid_drained,
	    .on_broken = on_broken};
	struct channel *ch;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	ch = channel_new(w->base, sv[0], &cfg);
	assert_non_null(ch);
	*other = sv[1];
	return ch;
}

static struct world *
world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct settings *s = &w->nd.settings;

	assert_non_null(w);
	w->base = event_base_new();
	w->nd.base = w->base;
	w->nd.child = w;
	w->nd.transport = &fake;
	LIST_INIT(&w->nd.links);
	assert_int_equal(settings_url(s, "wss://h/ws/chat"), 0);
	s->proxy = s->user_agent = "";
	s->connect_timeout_ms = s->keepalive_min_ms = s->keepalive_max_ms = 60000;
	s->keepalive_deadline_ms = s->backoff_unit_ms = s->backoff_max_ms = 60000;
	s->stable_after_ms = 60000;
	w->nd.apid = one(w, "netd: apid", netd_rows_apid, netd_nrows_apid, &w->apid);
	w->nd.keyd = one(w, "netd: keyd", netd_rows_keyd, netd_nrows_keyd, &w->keyd);
	w->from_apid_side = frame_reader_new(any_size, NULL);
	w->from_keyd_side = frame_reader_new(any_size, NULL);
	return w;
}

static void
world_free(struct world *w)
{
	links_free(&w->nd);
	assert_int_equal(transports, 0);
	channel_free(w->nd.apid);
	channel_free(w->nd.keyd);
	(void)close(w->apid);
	(void)close(w->keyd);
	frame_reader_free(w->from_apid_side);
	frame_reader_free(w->from_keyd_side);
	event_base_free(w->base);
	free(w);
}

static void
run(struct world *w)
{
	int i;

	for (i = 0; i < 20; i++)
		(void)event_base_loop(w->base, EVLOOP_NONBLOCK);
}

/* Sends a frame as it is told, and lets netd see it. */
static void
put(struct world *w, int sock, uint32_t type, uint32_t id, uint16_t flags, const void *data,
    size_t len, int fd)
{
	struct frame_writer *writer = frame_writer_new(64u << 20, 100);
	const char *why = "";
	int i;

	assert_int_equal(frame_put(writer, type, id, flags, data, len, fd), 0);
	for (i = 0; i < 100000 && frame_write(writer, sock, &why) == FRAME_AGAIN; i++) {
		run(w);
		if (w->broken)
			break;
	}
	frame_writer_free(writer);
	run(w);
}

/* The same, byte by byte: what frame_put would not write. */
static void
put_raw(struct world *w, int sock, uint32_t type, uint32_t id, uint16_t flags, const void *data,
    size_t len)
{
	struct buf b = BUF_INIT;

	(void)buf_put_be32(&b, type);
	(void)buf_put_be32(&b, (uint32_t)len);
	(void)buf_put_be32(&b, id);
	(void)buf_put_be16(&b, flags);
	(void)buf_put_be16(&b, 0);
	(void)buf_put(&b, data, len);
	assert_int_equal(send(sock, b.data, b.len, MSG_NOSIGNAL), b.len);
	buf_clear(&b);
	run(w);
}

/* The next frame that netd sends to keyd. */
static void
next_for_keyd(struct world *w, uint32_t type, uint32_t id)
{
	enum frame_status st = FRAME_AGAIN;
	const char *why = "";
	struct frame f;
	int i;

	for (i = 0; i < 100 && st == FRAME_AGAIN; i++) {
		run(w);
		st = frame_read(w->from_keyd_side, w->keyd, &f, &why);
	}
	assert_int_equal(st, FRAME_OK);
	assert_int_equal(f.type, type);
	assert_int_equal(f.id, id);
	frame_clear(&f);
}

/* ---------------------------------------------------------------- good messages, a row each */

static uint8_t *
good_message(uint32_t type, size_t *len)
{
	Netd__LinkUp up = NETD__LINK_UP__INIT;
	Netd__LinkDown down = NETD__LINK_DOWN__INIT;
	Netd__LinkGood good = NETD__LINK_GOOD__INIT;
	Netd__Stanza stanza = NETD__STANZA__INIT;
	Netd__StatusGet status = NETD__STATUS_GET__INIT;
	char account[] = "a1";
	uint8_t bytes[] = {0, 1, 2, 3};

	up.account = down.account = good.account = stanza.account = account;
	up.payload.data = stanza.node.data = bytes;
	up.payload.len = stanza.node.len = sizeof(bytes);
	switch (type) {
	case NETD__TYPE__LINK_UP:
		return pb_pack(&up.base, len);
	case NETD__TYPE__LINK_DOWN:
		return pb_pack(&down.base, len);
	case NETD__TYPE__LINK_GOOD:
		return pb_pack(&good.base, len);
	case NETD__TYPE__STANZA_OUT:
		return pb_pack(&stanza.base, len);
	case NETD__TYPE__STATUS:
		return pb_pack(&status.base, len);
	default:
		fail_msg("a row without a good message: %u", type);
		return NULL;
	}
}

/* In which way a good message is spoiled. */
enum spoil {
	GOOD,
	TOO_SHORT,
	TOO_LONG,
	OTHER_KIND, /* a request as a notice, a notice as a request */
	AS_REPLY,
	WITH_FD,
	FD_FLAG_ALONE,
	GARBAGE,
	UNKNOWN_FIELD,
	CUT,
	SPOILS
};

static void
send_spoiled(struct world *w, const struct channel_row *row, enum spoil how)
{
	static const uint8_t field_31[3] = {0xf8, 0x01, 0x01};
	uint32_t id = (row->flags & ROW_REQUEST) != 0 ? 7 : 0;
	uint16_t flags = 0;
	uint8_t *big = calloc(1, (size_t)row->max + 64), *good;
	size_t len = 0;
	int fd = -1;

	good = good_message(row->type, &len);
	assert_non_null(big);
	assert_non_null(good);
	memcpy(big, good, len);
	switch (how) {
	case TOO_SHORT:
		len = row->min - 1;
		break;
	case TOO_LONG:
		len = (size_t)row->max + 1;
		break;
	case OTHER_KIND:
		id = id == 0 ? 7 : 0;
		break;
	case AS_REPLY:
		id = 7;
		flags = FRAME_REPLY;
		break;
	case WITH_FD:
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		break;
	case FD_FLAG_ALONE:
		put_raw(w, w->apid, row->type, id, FRAME_FD, big, len);
		goto done;
	case GARBAGE:
		memset(big, 0xff, len);
		break;
	case UNKNOWN_FIELD:
		memcpy(big + len, field_31, sizeof(field_31));
		len += 3;
		break;
	case CUT:
		len--;
		break;
	default:
		break;
	}
	put(w, w->apid, row->type, id, flags, big, len, fd);
done:
	free(big);
	free(good);
}

static int
makes_sense(const struct channel_row *row, enum spoil how)
{
	if (how == TOO_SHORT)
		return row->min > 0;
	/* an empty message has nothing to spoil */
	return row->max > 0 || (how != GARBAGE && how != CUT);
}

static void
test_rows(void **state)
{
	size_t i;
	int how;

	for (i = 0; i < netd_nrows_apid; i++) {
		for (how = GOOD; how < SPOILS; how++) {
			struct world *w = world_new();

			if (makes_sense(&netd_rows_apid[i], (enum spoil)how)) {
				print_message("%s, %d\n", netd_rows_apid[i].name, how);
				send_spoiled(w, &netd_rows_apid[i], (enum spoil)how);
				/* an answer to a question that was not asked is a late one */
				if (how == GOOD || (how == AS_REPLY && !w->broken))
					assert_int_equal(w->broken, 0);
				else
					assert_int_equal(w->broken, 1);
			}
			world_free(w);
		}
	}
}

/* Types of no row: 0, our own notices, keyd's, the largest. */
static void
test_unknown_types(void **state)
{
	static const uint32_t types[] = {0, NETD__TYPE__LINK_STATE, NETD__TYPE__STANZA_IN,
	    NETD__TYPE__STATUS_REPLY, 9, 1000, UINT32_MAX};
	size_t i;
	int request;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (request = 0; request < 2; request++) {
			struct world *w = world_new();

			put(w, w->apid, types[i], request ? 7 : 0, 0, "", 0, -1);
			assert_int_equal(w->broken, 1);
			world_free(w);
		}
	}
}

/* Fields that the size of the row cannot check. */
static void
test_fields(void **state)
{
	static const char *const accounts[] = {"", "A1", "a_1", "a/1", "../a", "a 1", "a\n",
	    "012345678901234567890123456789012", "\xc3\xa9"};
	static uint8_t bytes[20000];
	Netd__LinkUp up = NETD__LINK_UP__INIT;
	Netd__LinkDown down = NETD__LINK_DOWN__INIT;
	Netd__LinkGood good = NETD__LINK_GOOD__INIT;
	Netd__Stanza stanza = NETD__STANZA__INIT;
	const struct {
		uint32_t type;
		ProtobufCMessage *m;
		char **account;
	} all[] = {{NETD__TYPE__LINK_UP, &up.base, &up.account},
	    {NETD__TYPE__LINK_DOWN, &down.base, &down.account},
	    {NETD__TYPE__LINK_GOOD, &good.base, &good.account},
	    {NETD__TYPE__STANZA_OUT, &stanza.base, &stanza.account}};
	struct {
		size_t payload, routing;
		int ok;
	} sizes[] = {{0, 0, 0}, {1, 0, 1}, {16384, 1024, 1}, {16385, 0, 0}, {1, 1025, 0}};
	char a1[] = "a1";
	size_t i, k, len;

	up.payload.data = stanza.node.data = up.routing_info.data = bytes;
	up.payload.len = stanza.node.len = 4;
	for (k = 0; k < 4; k++) {
		for (i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++) {
			struct world *w = world_new();
			uint8_t *packed;

			*all[k].account = (char *)(uintptr_t)accounts[i];
			packed = pb_pack(all[k].m, &len);
			put(w, w->apid, all[k].type, 0, 0, packed, len, -1);
			assert_int_equal(w->broken, 1);
			assert_int_equal(w->nd.nlinks, 0);
			free(packed);
			world_free(w);
		}
	}
	up.account = stanza.account = a1;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct world *w = world_new();
		uint8_t *packed;

		up.payload.len = sizes[i].payload;
		up.routing_info.len = sizes[i].routing;
		up.has_routing_info = sizes[i].routing != 0;
		packed = pb_pack(&up.base, &len);
		put(w, w->apid, NETD__TYPE__LINK_UP, 0, 0, packed, len, -1);
		assert_int_equal(w->broken, !sizes[i].ok);
		assert_int_equal(w->nd.nlinks, sizes[i].ok);
		free(packed);
		world_free(w);
	}
	for (i = 0; i < 3; i++) {
		struct world *w = world_new();
		uint8_t *packed;

		stanza.node.len = i; /* 0 and 1 hold no node */
		packed = pb_pack(&stanza.base, &len);
		put(w, w->apid, NETD__TYPE__STANZA_OUT, 0, 0, packed, len, -1);
		assert_int_equal(w->broken, i < 2);
		free(packed);
		world_free(w);
	}
}

/* keyd may send nothing unasked. */
static void
test_keyd_unasked(void **state)
{
	uint32_t type;
	int request;

	for (type = 0; type <= KEYD__TYPE__STATUS_REPLY + 1; type++) {
		for (request = 0; request < 2; request++) {
			struct world *w = world_new();

			put(w, w->keyd, type, request ? 7 : 0, 0, "", 0, -1);
			assert_int_equal(w->broken, 1);
			world_free(w);
		}
	}
}

/* ---------------------------------------------------------------- answers of keyd, spoiled */

static void
bring_to_hello(struct world *w)
{
	static const char answer[] =
	    "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
	uint8_t *packed, sum[32];
	char text[512], accept[64];
	const char *key;
	size_t len;
	unsigned n;
	int i;

	packed = good_message(NETD__TYPE__LINK_UP, &len);
	put(w, w->apid, NETD__TYPE__LINK_UP, 0, 0, packed, len, -1);
	free(packed);
	for (i = 0; i < 1000 && the_transport == NULL; i++)
		(void)event_base_loop(w->base, EVLOOP_ONCE);
	assert_non_null(the_transport);
	the_transport->h->open(the_transport->arg);
	key = strstr(buf_cstr(&the_transport->out), "Sec-WebSocket-Key: ");
	assert_non_null(key);
	(void)snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
	assert_int_equal(EVP_Digest(text, strlen(text), sum, &n, EVP_sha1(), NULL), 1);
	(void)sodium_bin2base64(accept, sizeof(accept), sum, n, sodium_base64_VARIANT_ORIGINAL);
	(void)snprintf(text, sizeof(text), "%s%s\r\n\r\n", answer, accept);
	the_transport->h->data(the_transport->arg, (const uint8_t *)text, strlen(text));
	next_for_keyd(w, KEYD__TYPE__NOISE_HELLO, 1);
}

static void
bring_to_finish(struct world *w)
{
	static const uint8_t server_hello[] = {0x82, 7, 0, 0, 4, 1, 2, 3, 4};
	Keyd__NoiseHelloReply r = KEYD__NOISE_HELLO_REPLY__INIT;
	uint8_t *packed, hello[] = {1, 2, 3};
	size_t len;

	bring_to_hello(w);
	r.client_hello.data = hello;
	r.client_hello.len = sizeof(hello);
	packed = pb_pack(&r.base, &len);
	put(w, w->keyd, KEYD__TYPE__NOISE_HELLO_REPLY, 1, FRAME_REPLY, packed, len, -1);
	free(packed);
	the_transport->h->data(the_transport->arg, server_hello, sizeof(server_hello));
	next_for_keyd(w, KEYD__TYPE__NOISE_FINISH, 2);
}

static void
test_keyd_answers(void **state)
{
	static const struct {
		uint32_t type, id;
		uint16_t flags;
		size_t keys; /* bytes of each traffic key */
		int cut, broken, gone;
		const char *what;
	} rows[] = {
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY, 32, 0, 0, 0, "as it should be"},
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY, 31, 0, 0, 1, "short keys"},
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY, 33, 0, 0, 1, "long keys"},
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY, 0, 0, 0, 1, "no keys"},
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY, 32, 1, 1, 0, "cut"},
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY, 20000, 0, 1, 0, "too long"},
	    {KEYD__TYPE__NOISE_HELLO_REPLY, 2, FRAME_REPLY, 32, 0, 1, 0, "of another type"},
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY | FRAME_ERROR, 32, 0, 1, 0, "no error"},
	    {KEYD__TYPE__NOISE_FINISH_REPLY, 2, 0, 32, 0, 1, 0, "as a question"},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Keyd__NoiseFinishReply r = KEYD__NOISE_FINISH_REPLY__INIT;
		struct world *w = world_new();
		static uint8_t bytes[20000];
		uint8_t *packed;
		size_t len;

		print_message("%s\n", rows[i].what);
		bring_to_finish(w);
		r.client_finish.data = r.tx_key.data = r.rx_key.data = bytes;
		r.client_finish.len = 40;
		r.tx_key.len = r.rx_key.len = rows[i].keys;
		packed = pb_pack(&r.base, &len);
		put(w, w->keyd, rows[i].type, rows[i].id, rows[i].flags, packed,
		    len - (size_t)rows[i].cut, -1);
		free(packed);
		assert_int_equal(w->broken, rows[i].broken);
		/* a broken channel ends the whole process: what is left of the link is nothing */
		if (!rows[i].broken)
			assert_int_equal(the_transport == NULL, rows[i].gone);
		world_free(w);
	}
}

/* The link goes while keyd thinks: its late answer finds nobody, and it is told to forget. */
static void
test_late_answer(void **state)
{
	struct world *w = world_new();
	uint8_t *packed;
	size_t len;

	bring_to_finish(w);
	packed = good_message(NETD__TYPE__LINK_DOWN, &len);
	put(w, w->apid, NETD__TYPE__LINK_DOWN, 0, 0, packed, len, -1);
	free(packed);
	assert_null(the_transport);
	next_for_keyd(w, KEYD__TYPE__NOISE_DROP, 0);
	put(w, w->keyd, KEYD__TYPE__NOISE_FINISH_REPLY, 2, FRAME_REPLY, "", 0, -1);
	assert_int_equal(w->broken, 0);
	world_free(w);
}

/* No more links than accounts can be; one that is down gives way. */
static void
test_many_accounts(void **state)
{
	Netd__LinkUp up = NETD__LINK_UP__INIT;
	Netd__LinkDown down = NETD__LINK_DOWN__INIT;
	struct world *w = world_new();
	uint8_t byte = 1, *packed;
	char account[16];
	size_t len;
	int i;

	up.account = down.account = account;
	up.payload.data = &byte;
	up.payload.len = 1;
	for (i = 0; i < ACCOUNTS_MAX + 10; i++) {
		(void)snprintf(account, sizeof(account), "a%d", i);
		packed = pb_pack(&up.base, &len);
		put(w, w->apid, NETD__TYPE__LINK_UP, 0, 0, packed, len, -1);
		free(packed);
	}
	assert_int_equal(w->broken, 0);
	assert_int_equal(w->nd.nlinks, ACCOUNTS_MAX);
	(void)snprintf(account, sizeof(account), "a7");
	packed = pb_pack(&down.base, &len);
	put(w, w->apid, NETD__TYPE__LINK_DOWN, 0, 0, packed, len, -1);
	free(packed);
	(void)snprintf(account, sizeof(account), "new");
	packed = pb_pack(&up.base, &len);
	put(w, w->apid, NETD__TYPE__LINK_UP, 0, 0, packed, len, -1);
	free(packed);
	assert_int_equal(w->nd.nlinks, ACCOUNTS_MAX);
	assert_int_equal(w->broken, 0);
	world_free(w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_unknown_types),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_keyd_unasked),
	    cmocka_unit_test(test_keyd_answers),
	    cmocka_unit_test(test_late_answer),
	    cmocka_unit_test(test_many_accounts),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(120 * test_slow());
	if (sodium_init() == -1)
		return 1;
	log_open("test", -1);
	log_set_level(getenv("WARD_TEST_LOG") != NULL ? LOG_LV_DEBUG : LOG_LV_ERR);
	if (getenv("WARD_TEST_LOG") == NULL)
		log_open("test", open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
