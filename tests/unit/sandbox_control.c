/* The parent's channel: good packets pass unchanged, every hostile one is refused with a reason. */
#include <sys/socket.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/control.h"
#include "sandbox/role.h"

#define ALL 0xffffffffu

static void
put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* A packet from raw header fields and a payload of `have` bytes. */
static size_t
packet(uint8_t *out, uint32_t magic, unsigned version, unsigned type, uint32_t len, size_t have)
{
	put32(out, magic);
	put32(out + 4, version << 16 | type);
	put32(out + 8, len);
	memset(out + CONTROL_HEADER, 'x', have);
	return (CONTROL_HEADER + have);
}

static void
hostile_headers(void **state)
{
	static const struct {
		const char *why;
		uint32_t magic;
		unsigned version, type;
		uint32_t len;
		size_t have;
		unsigned allowed;
		const char *says; /* NULL: good */
	} t[] = {
	    {"good READY", CONTROL_MAGIC, 1, CONTROL_READY, 5, 5, ALL, NULL},
	    {"good STOP", CONTROL_MAGIC, 1, CONTROL_STOP, 0, 0, ALL, NULL},
	    {"good empty GO", CONTROL_MAGIC, 1, CONTROL_GO, 0, 0, ALL, NULL},
	    {"largest report", CONTROL_MAGIC, 1, CONTROL_READY, CONTROL_REPORT_MAX,
		CONTROL_REPORT_MAX, ALL, NULL},
	    {"report of one byte more", CONTROL_MAGIC, 1, CONTROL_READY, CONTROL_REPORT_MAX + 1,
		CONTROL_REPORT_MAX + 1, ALL, "too long"},
	    {"magic", 0x57415245, 1, CONTROL_READY, 5, 5, ALL, "magic"},
	    {"version 0", CONTROL_MAGIC, 0, CONTROL_READY, 5, 5, ALL, "version"},
	    {"version 2", CONTROL_MAGIC, 2, CONTROL_READY, 5, 5, ALL, "version"},
	    {"type 0", CONTROL_MAGIC, 1, 0, 5, 5, ALL, "unknown"},
	    {"type 6", CONTROL_MAGIC, 1, 6, 5, 5, ALL, "unknown"},
	    {"type 65535", CONTROL_MAGIC, 1, 65535, 5, 5, ALL, "unknown"},
	    {"READY when only INCIDENT may come", CONTROL_MAGIC, 1, CONTROL_READY, 5, 5,
		CONTROL_MAY(CONTROL_INCIDENT), "not allowed"},
	    {"GO to the parent", CONTROL_MAGIC, 1, CONTROL_GO, 5, 5, CONTROL_MAY(CONTROL_READY),
		"not allowed"},
	    {"STOP with a payload", CONTROL_MAGIC, 1, CONTROL_STOP, 1, 1, ALL, "too long"},
	    {"empty READY", CONTROL_MAGIC, 1, CONTROL_READY, 0, 0, ALL, "too short"},
	    {"empty INCIDENT", CONTROL_MAGIC, 1, CONTROL_INCIDENT, 0, 0, ALL, "too short"},
	    {"INCIDENT of one byte more", CONTROL_MAGIC, 1, CONTROL_INCIDENT,
		CONTROL_INCIDENT_MAX + 1, CONTROL_INCIDENT_MAX + 1, ALL, "too long"},
	    {"BOOT without its fields", CONTROL_MAGIC, 1, CONTROL_BOOT, CONTROL_BOOT_FIXED - 1,
		CONTROL_BOOT_FIXED - 1, ALL, "too short"},
	    {"length one more than there is", CONTROL_MAGIC, 1, CONTROL_READY, 6, 5, ALL,
		"disagrees"},
	    {"length one less than there is", CONTROL_MAGIC, 1, CONTROL_READY, 4, 5, ALL,
		"disagrees"},
	    {"length of 4 GiB", CONTROL_MAGIC, 1, CONTROL_READY, 0xffffffffu, 5, ALL, "too long"},
	};
	static uint8_t buf[CONTROL_PACKET_MAX + 64];
	struct control_msg m;
	const char *why;
	size_t i, n;
	int rc;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = packet(buf, t[i].magic, t[i].version, t[i].type, t[i].len, t[i].have);
		rc = control_decode(buf, n, t[i].allowed, &m, &why);
		if (t[i].says == NULL) {
			if (rc != 0 || m.type != t[i].type || m.len != t[i].have)
				fail_msg("%s: refused: %s", t[i].why, why);
		} else if (rc == 0 || why == NULL || strstr(why, t[i].says) == NULL) {
			fail_msg("%s: returned %d, \"%s\"", t[i].why, rc, why ? why : "");
		}
	}
}

static void
cut_and_grown(void **state)
{
	uint8_t buf[64];
	struct control_msg m;
	const char *why;
	size_t n, full = packet(buf, CONTROL_MAGIC, 1, CONTROL_READY, 8, 8);

	for (n = 0; n < full; n++)
		assert_int_equal(control_decode(buf, n, ALL, &m, &why), -1);
	assert_int_equal(control_decode(buf, full, ALL, &m, &why), 0);
	assert_int_equal(control_decode(buf, full + 1, ALL, &m, &why), -1);
	buf[CONTROL_HEADER + 3] = '\0';
	assert_int_equal(control_decode(buf, full, ALL, &m, &why), -1);
	assert_non_null(strstr(why, "NUL"));
}

static const struct control_boot good_boot = {
    .role = ROLE_NETD,
    .flags = CONTROL_AS_ROOT,
    .uid = 100,
    .gid = 200,
    .parent = 300,
    .log_level = 4,
    .config = "[log]\nlevel = info\n",
    .config_len = 19,
};

static int
unpack(const struct control_boot *b, struct control_boot *out, const char **why)
{
	struct control_msg m = {.type = CONTROL_BOOT};
	static uint8_t *p;

	free(p); /* out->config points into it until the next call */
	p = control_boot_pack(b, &m.len);
	assert_non_null(p);
	m.payload = p;
	return (control_boot_unpack(&m, out, why));
}

static void
boot_round_trip(void **state)
{
	struct control_boot out;
	const char *why;

	assert_int_equal(unpack(&good_boot, &out, &why), 0);
	assert_int_equal(out.role, ROLE_NETD);
	assert_int_equal(out.flags, CONTROL_AS_ROOT);
	assert_int_equal(out.uid, 100);
	assert_int_equal(out.gid, 200);
	assert_int_equal(out.parent, 300);
	assert_int_equal(out.log_level, 4);
	assert_int_equal(out.config_len, 19);
	assert_memory_equal(out.config, good_boot.config, 19);
}

static void
hostile_boots(void **state)
{
	struct control_boot b, out;
	uint8_t *p;
	struct control_msg m = {.type = CONTROL_BOOT};
	const char *why;
	size_t len;

#define REFUSED(change, text)                                                                      \
	do {                                                                                       \
		b = good_boot;                                                                     \
		change;                                                                            \
		assert_int_equal(unpack(&b, &out, &why), -1);                                      \
		if (strstr(why, text) == NULL)                                                     \
			fail_msg(#change ": %s", why);                                             \
	} while (0)
	REFUSED(b.role = ROLE_WARD, "role");
	REFUSED(b.role = ROLE_COUNT, "role");
	REFUSED(b.role = 0xffffffffu, "role");
	REFUSED(b.flags = 8, "flags");
	REFUSED(b.uid = 0, "root");
	REFUSED(b.gid = 0, "root");
	REFUSED(b.parent = 0, "parent");
	REFUSED(b.parent = 0x80000000u, "parent");
	REFUSED(b.log_level = 5, "level");
	REFUSED((b.config = "a\0b", b.config_len = 3), "NUL");

	b = good_boot;
	p = control_boot_pack(&b, &len);
	m.payload = p;
	for (m.len = 0; m.len < len; m.len++)
		assert_int_equal(control_boot_unpack(&m, &out, &why), -1);
	m.type = CONTROL_GO;
	assert_int_equal(control_boot_unpack(&m, &out, &why), -1);
	free(p);
	b.config_len = CONTROL_TEXT_MAX + 1;
	assert_null(control_boot_pack(&b, &len));
}

static void
over_a_socket(void **state)
{
	static uint8_t buf[CONTROL_PACKET_MAX];
	static char text[CONTROL_REPORT_MAX];
	struct control_msg m;
	const char *why;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s), 0);
	assert_int_equal(control_recv(s[1], 0, buf, sizeof(buf), ALL, &m, &why), CONTROL_AGAIN);
	memset(text, 'r', sizeof(text));
	assert_int_equal(control_send(s[0], CONTROL_READY, text, sizeof(text)), 0);
	assert_int_equal(control_send(s[0], CONTROL_STOP, NULL, 0), 0);
	assert_int_equal(control_recv(s[1], 0, buf, sizeof(buf), ALL, &m, &why), CONTROL_OK);
	assert_int_equal(m.type, CONTROL_READY);
	assert_int_equal(m.len, sizeof(text));
	assert_memory_equal(m.payload, text, sizeof(text));
	assert_int_equal(control_recv(s[1], 0, buf, sizeof(buf), ALL, &m, &why), CONTROL_OK);
	assert_int_equal(m.type, CONTROL_STOP);

	assert_int_equal(control_send(s[0], CONTROL_READY, text, sizeof(text) + 1), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(control_send(s[0], CONTROL_INCIDENT, text, 0), -1);

	/* a packet that is longer than the buffer is broken, not cut */
	assert_int_equal(control_send(s[0], CONTROL_READY, text, 100), 0);
	assert_int_equal(control_recv(s[1], 0, buf, 50, ALL, &m, &why), CONTROL_BROKEN);
	close(s[0]);
	assert_int_equal(control_recv(s[1], 0, buf, sizeof(buf), ALL, &m, &why), CONTROL_EOF);
	assert_int_equal(control_send(s[1], CONTROL_STOP, NULL, 0), -1); /* and no SIGPIPE */
	close(s[1]);
}

static void
descriptors_are_refused(void **state)
{
	uint8_t buf[64], out[64];
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = {.iov_base = buf};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = u.buf,
	    .msg_controllen = sizeof(u.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct control_msg m;
	const char *why;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s), 0);
	iov.iov_len = packet(buf, CONTROL_MAGIC, 1, CONTROL_READY, 8, 8);
	memset(&u, 0, sizeof(u));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &s[0], sizeof(int));
	assert_true(sendmsg(s[0], &msg, 0) > 0);
	assert_int_equal(control_recv(s[1], 0, out, sizeof(out), ALL, &m, &why), CONTROL_BROKEN);
	assert_non_null(strstr(why, "descriptor"));
	close(s[0]);
	close(s[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hostile_headers),
	    cmocka_unit_test(cut_and_grown),
	    cmocka_unit_test(boot_round_trip),
	    cmocka_unit_test(hostile_boots),
	    cmocka_unit_test(over_a_socket),
	    cmocka_unit_test(descriptors_are_refused),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
