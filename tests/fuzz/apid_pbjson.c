/* Fuzz: any bytes as a message and its JSON, any JSON as a message; what goes there comes back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/pbjson.h"
#include "common/pb.h"
#include "common/proto/e2e.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* NULL: it takes too much memory, which is the only reason it may have. */
static const ProtobufCMessage *
unpack(const uint8_t *bytes, size_t len, struct pb_arena *arena)
{
	const char *why = NULL;
	const ProtobufCMessage *m =
	    pb_unpack(&e2e__message__descriptor, bytes, len, arena, 0, &why);

	must(m != NULL || strcmp(why, "budget") == 0);
	return m;
}

/* The object of a message gives a message with the same object. */
static void
stable(const ProtobufCMessage *m)
{
	struct pb_arena *arena = pb_arena_new(64u << 20);
	json_t *left = NULL, *o = pbjson_out(m, 16u << 20, &left), *again;
	struct buf b = BUF_INIT;
	struct pbjson_error err;
	const ProtobufCMessage *m2;

	must(o != NULL);
	must(pbjson_in(&e2e__message__descriptor, o, &b, &err) == 0);
	if (left == NULL && (m2 = unpack(b.data, b.len, arena)) != NULL) {
		again = pbjson_out(m2, 16u << 20, &left);
		must(left == NULL && json_equal(o, again));
		json_decref(again);
	}
	json_decref(left);
	json_decref(o);
	buf_clear(&b);
	pb_arena_free(arena);
}

static void
fuzz_out(const uint8_t *data, size_t size, size_t budget)
{
	struct pb_arena *arena = pb_arena_new(16u << 20);
	const ProtobufCMessage *m =
	    pb_unpack(&e2e__message__descriptor, data, size, arena, 0, NULL);
	json_t *left = NULL, *o;

	if (m != NULL) {
		if ((o = pbjson_out(m, budget, &left)) != NULL)
			must(json_dumpb(o, NULL, 0, JSON_COMPACT) <= budget);
		must(json_array_size(left) <= PBJSON_LEFT_MAX + 1);
		json_decref(o);
		json_decref(left);
		stable(m);
	}
	pb_arena_free(arena);
}

static void
fuzz_in(const uint8_t *data, size_t size)
{
	json_t *o = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
	struct pb_arena *arena = pb_arena_new(64u << 20);
	struct pbjson_error err;
	struct buf b = BUF_INIT;
	const ProtobufCMessage *m;

	b.max = 1u << 20;
	if (o != NULL && pbjson_in(&e2e__message__descriptor, o, &b, &err) == 0) {
		if ((m = unpack(b.data, b.len, arena)) != NULL)
			stable(m);
	} else if (o != NULL) {
		must(err.message != NULL && strlen(err.path) < PBJSON_PATH_MAX);
	}
	json_decref(o);
	buf_clear(&b);
	pb_arena_free(arena);
}

/* First byte: { is JSON; else it is a budget, and what follows is a message. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == '{')
		fuzz_in(data, size);
	else
		fuzz_out(data + 1, size - 1, (size_t)data[0] * 8);
	return 0;
}
