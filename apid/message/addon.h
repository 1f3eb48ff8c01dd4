/* What is encrypted under the secret of an earlier message: votes, answers to events, encrypted
 * reactions and edits (protocol page 04, sections 16 and 17). */
#ifndef WARD_ADDON_H
#define WARD_ADDON_H

#include "apid/message/content.h"
#include "ipc/keyd.pb-c.h"

struct addon {
	Keyd__AddonOpen__Use use;
	const Wacommon__MessageKey *target;
	ProtobufCBinaryData iv, payload;
};
#define ADDON_PAYLOAD_MAX (256u * 1024)

/* 1: the message is one that can be opened, with parts in it; 0: it is none. */
int addon_find(const E2e__Message *m, struct addon *out);

/* What it said, taken apart. One of them is set, by use. */
struct addon_plain {
	const E2e__PollVoteMessage *vote;
	const E2e__EventResponseMessage *response;
	const E2e__ReactionMessage *reaction;
	const E2e__Message *message; /* of the edits */
};
/* 0, or -1: it is no such thing. Lives in the arena. */
int addon_read(Keyd__AddonOpen__Use use, const ProtobufCBinaryData *bytes, struct pb_arena *arena,
    struct addon_plain *out);
/* Does it count? An edit is its author's, and in time. */
int addon_counts(const struct addon *ad, int64_t target_s, int64_t time_s, int64_t window_s);

#endif
