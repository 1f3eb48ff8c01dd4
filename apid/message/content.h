/* Message contents: protobuf <-> JSON, padding, and the copy for own devices (protocol page 04,
 * sections 5, 6, 9.3, 10.4; page 10, section 2). */
#ifndef WARD_CONTENT_H
#define WARD_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/pb.h"
#include "common/proto/e2e.pb-c.h"

#define CONTENT_BUDGET   (16u * 1024 * 1024) /* of the arena that takes one message apart */
#define CONTENT_TEXT_MAX 65536u

/* A text, encoded; secret: 32 bytes of messageSecret or NULL. Malloc'd. */
uint8_t *content_text(const char *text, const uint8_t *secret, size_t *len);
/* The copy for own other devices. chat: JID text. NULL if msg does not parse or memory is out. */
uint8_t *content_device_sent(const uint8_t *msg, size_t msg_len, const char *chat, size_t *len);
/* Padded with n bytes of value n, 1..16. Malloc'd. content_pad draws n. */
uint8_t *content_pad_with(const uint8_t *msg, size_t msg_len, unsigned n, size_t *len);
uint8_t *content_pad(const uint8_t *msg, size_t msg_len, size_t *len);
/* Length without padding, or -1 if it is no valid padding. */
int64_t content_unpad(const uint8_t *data, size_t len);

/* Parse; lives in the arena. */
const E2e__Message *content_parse(
    const uint8_t *data, size_t len, struct pb_arena *arena, const char **why);
/* Look through the wrappers (6.1), but not through deviceSentMessage. */
const E2e__Message *content_unwrap(const E2e__Message *m);
/* Nothing for a user in it: sender keys and context only. */
int content_is_silent(const E2e__Message *m);
/* message/content_kind.c: {kind, …}; "unknown" if this version knows no better. */
json_t *content_json(const E2e__Message *m);
/* What stands beside its content: quoted message, mentions, timer. NULL: nothing. */
const E2e__ContextInfo *content_context(const E2e__Message *m);
/* "app_state_sync_key_share" …; "other" */
const char *content_protocol_name(int type);

/* Add `raw_b64` to a body, or the first part of it and `raw_parts` if it is too big for one event.
 * Returns how many further parts there are. What does not fit one unit of work (5 MiB) is cut off
 * and `raw_bytes` says how much there was. */
#define CONTENT_RAW_PART  (160u * 1024)
#define CONTENT_RAW_PARTS 32u
size_t content_set_raw(json_t *body, const uint8_t *raw, size_t len);
/* Part i (1…) of it: {raw_b64}. */
json_t *content_raw_part(const uint8_t *raw, size_t len, size_t i);

#endif
