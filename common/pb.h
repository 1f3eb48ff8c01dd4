/* Safe unpacking of protobuf bytes: depth and memory are bounded before protobuf-c sees them. */
#ifndef WARD_PB_H
#define WARD_PB_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "common/buf.h"

/* A bump arena with a budget. Everything unpacked from it dies, wiped, with it. */
struct pb_arena;

/* budget: bytes that unpacking may take in all. NULL when memory is out. */
struct pb_arena *pb_arena_new(size_t budget);
void pb_arena_free(struct pb_arena *a); /* NULL is fine */
/* Zeroed room for what shall live as long; NULL when the budget or memory is out. */
void *pb_arena_alloc(struct pb_arena *a, size_t size);

#define PB_STRICT    1u /* internal channels: unknown fields are refused, at every depth */
#define PB_MAX_DEPTH 32

/* Unpack `len` bytes as `desc`. The result lives in the arena: never call protobuf-c's free on it.
 * NULL on failure; *why (may be NULL) then says so: "depth", "malformed", "budget", "unknown
 * field". */
void *pb_unpack(const ProtobufCMessageDescriptor *desc, const void *bytes, size_t len,
    struct pb_arena *a, unsigned flags, const char **why);

/* Pack to a fresh malloc'd buffer; *len is set. NULL when memory is out. Caller frees (wipe first
 * if secret). An empty message gives a non-NULL pointer and *len 0. */
uint8_t *pb_pack(const ProtobufCMessage *m, size_t *len);

/* The same, behind what a buffer has. 0 or -1. */
int pb_put(const ProtobufCMessage *m, struct buf *out);

/* protobuf-c's structs have no const fields, yet packing writes to none: a constant text for a
 * field. */
static inline char *
pb_str(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* The same for a field of bytes. */
static inline ProtobufCBinaryData
pb_bytes(const void *data, size_t len)
{
	return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)data};
}

#endif
