/* The reporting token: which fields it covers, and its value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "apid/message/content.h"
#include "apid/message/reporting.h"
#include "common/pb.h"

#define ID     "3EB0C767D82B0A7D7B5F12"
#define SENDER "100000000000001@lid"
#define REMOTE "100000000000002@lid"

/* Made by a second reading of protocol page 04, 9.7, in JavaScript: secret 00 01 … 1f. */
static const struct {
	const char *what, *message, *content, *token;
} made[] = {
    {"text",
	"0a0568656c6c6f9a02241a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f40"
	"02",
	"0a0568656c6c6f", "b7bad2261136f885aab4669b5d29a597"},
    {"extended",
	"321d0a0568656c6c6f1204687474708a010a0a024944a80103b00101f001019a02241a20000102030405060708"
	"090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f4002",
	"32130a0568656c6c6f8a0106a80103b00101f00101", "a84c7226efba7fa994d5612bfb298583"},
    {"reply_only",
	"320e0a0568656c6c6f8a01040a0249449a02241a20000102030405060708090a0b0c0d0e0f1011121314151617"
	"18191a1b1c1d1e1f4002",
	"32070a0568656c6c6f", "b1493db507d8c77a1e15fa6597c56a2b"},
    {"image",
	"1a460a0375726c120a696d6167652f6a7065671a0763617074696f6e4220010101010101010101010101010101"
	"01010101010101010101010101010101015a0470617468ca0101789a02241a20000102030405060708090a0b0c"
	"0d0e0f101112131415161718191a1b1c1d1e1f4002",
	"1a41120a696d6167652f6a7065671a0763617074696f6e42200101010101010101010101010101010101010101"
	"0101010101010101010101015a0470617468ca010178",
	"399abb1cd918e40467a1b15337f14abf"},
    {"edit",
	"62470a2f0a13313030303030303030303030303032406c696410011a1633454230433736374438324230413744"
	"374235463132100e720b32090a036e657712026e6f7880d095ffbc31",
	"62430a2f0a13313030303030303030303030303032406c696410011a1633454230433736374438324230413744"
	"374235463132100e720732050a036e65777880d095ffbc31",
	"c7eea267e21d9d6872da3087a954407c"},
    {"wrapped",
	"9a02241a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f4002aa020f0a0d0a"
	"06696e736964659a06026e6f",
	"aa020a0a080a06696e73696465", "2709c5c5514f834411ed5027cf602e2f"},
    {"unsorted", "3206f001010a01620a0161", "0a016132060a0162f00101",
	"455978e0f6d8a83e691c963d6a80f563"},
    {"poll",
	"8a031e12046e616d651a080a036f6e651201681a050a0374776f20012a030a01719a02241a2000010203040506"
	"0708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f4002",
	"8a031712046e616d651a080a036f6e651201681a050a0374776f", "1bd1d2656bd480673451f916b629cd56"},
    {"pin",
	"fa03030a01789a02241a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f400"
	"2",
	"", "0db0f4a9aa76f570d1839cef5ac1b642"},
};

static size_t
bytes_of(const char *hex, uint8_t *out, size_t max)
{
	size_t n;

	assert_int_equal(sodium_hex2bin(out, max, hex, strlen(hex), NULL, &n, NULL), 0);
	return n;
}

static void
values(void **state)
{
	uint8_t secret[32], message[512], content[512], token[16], want[16];

	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		size_t n = bytes_of(made[i].message, message, sizeof(message));
		size_t k = bytes_of(made[i].content, content, sizeof(content));
		struct buf b = BUF_INIT;

		assert_int_equal(reporting_content(message, n, &b), 0);
		if (b.len != k || (k > 0 && memcmp(b.data, content, k) != 0))
			fail_msg("%s", made[i].what);
		reporting_token(secret, ID, SENDER, REMOTE, b.data, b.len, token);
		assert_int_equal(bytes_of(made[i].token, want, sizeof(want)), 16);
		if (memcmp(token, want, 16) != 0)
			fail_msg("token of %s", made[i].what);
		buf_clear(&b);
	}
}

/* Each part of what the key is made from changes it. */
static void
key(void **state)
{
	uint8_t secret[32] = {1}, a[16], b[16];

	reporting_token(secret, ID, SENDER, REMOTE, (const uint8_t *)"x", 1, a);
	reporting_token(secret, ID, REMOTE, SENDER, (const uint8_t *)"x", 1, b);
	assert_memory_not_equal(a, b, 16);
	reporting_token(secret, "other", SENDER, REMOTE, (const uint8_t *)"x", 1, b);
	assert_memory_not_equal(a, b, 16);
	secret[0] = 2;
	reporting_token(secret, ID, SENDER, REMOTE, (const uint8_t *)"x", 1, b);
	assert_memory_not_equal(a, b, 16);
}

/* Malformed and endless ones are refused. */
static void
broken(void **state)
{
	static const char *const hex[] = {
	    "0a05", "0a", "0b", "00", "320a0a05", "ffffffffffffffffffff01"};
	uint8_t message[64], *deep;
	struct buf b = BUF_INIT;
	size_t n;

	for (size_t i = 0; i < sizeof(hex) / sizeof(hex[0]); i++) {
		n = bytes_of(hex[i], message, sizeof(message));
		assert_int_equal(reporting_content(message, n, &b), -1);
		buf_clear(&b);
	}
	/* 37{1{37{1{… */
	n = 0;
	assert_non_null(deep = calloc(1, 4096));
	for (int i = 0; i < 40; i++) {
		uint8_t inner[4096];

		memcpy(inner, deep, n);
		deep[0] = 0x0a;
		deep[1] = (uint8_t)(n | 0x80);
		deep[2] = (uint8_t)(n >> 7);
		memcpy(deep + 3, inner, n);
		n += 3;
		memcpy(inner, deep, n);
		deep[0] = 0xaa;
		deep[1] = 2;
		deep[2] = (uint8_t)(n | 0x80);
		deep[3] = (uint8_t)(n >> 7);
		memcpy(deep + 4, inner, n);
		n += 4;
	}
	assert_int_equal(reporting_content(deep, n, &b), -1);
	buf_clear(&b);
	free(deep);
}

/* Which messages get the node. */
static void
node(void **state)
{
	static const struct {
		const char *hex; /* without the context */
		int secret, has;
	} rows[] = {
	    {"0a0568656c6c6f", 32, 1}, {"0a0568656c6c6f", 0, 0}, {"0a0568656c6c6f", 31, 0},
	    {"f20203120161", 32, 0}, /* reaction */
	    {"c20303120161", 32, 0}, /* encrypted reaction */
	    {"920302"
	     "1200",
		32, 0}, /* poll update */
	    {"e2040312"
	     "0161",
		32, 0},            /* event response */
	    {"9a03021001", 32, 0}, /* keep */
	    {"fa03021001", 32, 0}, /* pin: nothing of it is covered */
	    {"8a0306"
	     "120"
	     "46e616d65",
		32, 1}, /* poll */
	};
	struct jid own, chat;

	assert_int_equal(jid_parse(SENDER, &own), 0);
	assert_int_equal(jid_parse(REMOTE, &chat), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t message[128];
		size_t n = bytes_of(rows[i].hex, message, sizeof(message));
		struct node *m = node_new("message");
		const struct node *r;

		message[n++] = 0x9a; /* 35 {3: secret} */
		message[n++] = 2;
		message[n++] = (uint8_t)(rows[i].secret + 2);
		message[n++] = 0x1a;
		message[n++] = (uint8_t)rows[i].secret;
		memset(message + n, 7, (size_t)rows[i].secret);
		n += (size_t)rows[i].secret;
		reporting_add(m, message, n, ID, &own, &chat);
		r = node_child(m, "reporting");
		if ((r != NULL) != rows[i].has)
			fail_msg("row %zu", i);
		if (r != NULL) {
			r = node_child(r, "reporting_token");
			assert_string_equal(node_get(r, "v"), "2");
			assert_int_equal(r->nbytes, 16);
		}
		node_free(m);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values),
	    cmocka_unit_test(key),
	    cmocka_unit_test(broken),
	    cmocka_unit_test(node),
	};

	return cmocka_run_group_tests_name("apid: reporting token", tests, NULL, NULL);
}
