/* A channel: frames on libevent, with requests, replies, deadlines, a table of what the peer may
 * send, and protobuf payloads unpacked safely. Each side treats the other as hostile. */
#ifndef WARD_CHANNEL_H
#define WARD_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>

struct channel;

/* A message that came: valid in the handler; keep it longer with message_hold. */
struct message {
	struct channel *channel;
	uint32_t type;
	uint32_t id;                /* 0 = notice; else answer with channel_reply* */
	const ProtobufCMessage *pb; /* of the row's descriptor, already checked */
	int fd; /* -1, or the descriptor; taken by setting the field to -1, else closed */
};
struct message *message_hold(struct message *m); /* +1 reference */
void message_release(struct message *m);         /* -1; wiped at 0; NULL is fine */

/* One row a message type that the peer may send unasked. min/max: payload bytes. */
struct channel_row {
	uint32_t type;
	const char *name;
	uint32_t min, max;
	unsigned states; /* bit set of channel states in which it is allowed */
	unsigned flags;
	const ProtobufCMessageDescriptor *desc;
	/* 0 = done or will be answered later; -1 = the peer broke the contract (logged already) */
	int (*run)(struct message *m, void *owner);
};
#define ROW_REQUEST 1u /* must carry an id and will be answered; without the flag it must not */
#define ROW_FD      2u /* a descriptor must come with it; without the flag none may */
#define ROW_ONCE    4u /* only once on this channel */

#define CHANNEL_ALL_STATES 0xffffffffu

struct channel_config {
	const char *name; /* "keyd: apid", for messages */
	const struct channel_row *rows;
	size_t nrows;
	void *owner;           /* given to handlers and to the three below */
	size_t out_max_bytes;  /* bound of the output queue; 0 = 16 MiB. Beyond it: broken */
	size_t out_high;       /* above this the channel is "full"; 0 = 4 MiB */
	unsigned max_requests; /* of ours in flight, 0 = 4096; more fail at once with "busy" */
	void (*on_broken)(
	    struct channel *, void *owner, const char *why); /* contract broken or error */
	void (*on_closed)(struct channel *, void *owner);    /* clean end of file */
	void (*on_drained)(
	    struct channel *, void *owner); /* was full, now below half of out_high */
};

/* Takes the (non-blocking) socket. NULL on failure. State starts as 1 (bit 0). */
struct channel *channel_new(struct event_base *base, int fd, const struct channel_config *cfg);
/* Fails all requests in flight with "closed", closes the socket. Safe inside handlers. The channel
 * can still be called, to no effect, until channel_free: who is told of the failure may turn to
 * another channel, so one with several closes all of them before it frees the first. */
void channel_close(struct channel *ch);
/* channel_close, if that is still to do, and let go of it. NULL is fine. Safe inside handlers. */
void channel_free(struct channel *ch);

void channel_set_state(struct channel *ch, unsigned state_bit); /* exactly one bit */
unsigned channel_state(const struct channel *ch);
const char *channel_name(const struct channel *ch); /* as configured */

/* Stop and go on reading (back-pressure towards the peer); nests by count. */
void channel_pause(struct channel *ch);
void channel_resume(struct channel *ch);
int channel_full(const struct channel *ch);         /* output above out_high */
size_t channel_in_flight(const struct channel *ch); /* our requests not answered yet */

/* One-way. fd: -1 or a descriptor to pass (owned on success). 0, or -1 (logged, channel broken). */
int channel_notify(struct channel *ch, uint32_t type, const ProtobufCMessage *m);
int channel_notify_fd(struct channel *ch, uint32_t type, const ProtobufCMessage *m, int fd);

/* The outcome of a request. pb is valid in the callback only. */
struct reply {
	int ok;                     /* an answer of the wanted type came */
	const ProtobufCMessage *pb; /* if ok, unpacked as `desc` */
	const char *code;           /* if not ok: "timeout", "closed", "busy", or the peer's code */
	const char *text;           /* if not ok: for people */
};
typedef void channel_reply_fn(const struct reply *r, void *arg);

/* Ask; fn is called exactly once, never before this returns. reply_type, desc, reply_max: what the
 * answer must be; anything else breaks the contract. deadline_ms > 0. Returns the request id, or 0
 * when it failed (fn is then called from the loop all the same, with "busy" or "closed"). A late
 * answer is dropped silently. */
uint32_t channel_request(struct channel *ch, uint32_t type, const ProtobufCMessage *m,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, uint32_t reply_max,
    unsigned deadline_ms, channel_reply_fn *fn, void *arg);
/* The same with a descriptor beside it (or -1), which belongs to the channel whatever comes of it.
 */
uint32_t channel_request_fd(struct channel *ch, uint32_t type, const ProtobufCMessage *m, int fd,
    uint32_t reply_type, const ProtobufCMessageDescriptor *desc, uint32_t reply_max,
    unsigned deadline_ms, channel_reply_fn *fn, void *arg);
/* Forget a request: fn will not be called. */
void channel_cancel(struct channel *ch, uint32_t id);

/* Answer a request, from its handler or later (hold the message, or keep channel and id). */
int channel_reply(struct channel *ch, uint32_t id, uint32_t type, const ProtobufCMessage *m);
/* code: short stable word, [a-z0-9_]; text for people, no secrets. */
int channel_reply_error(struct channel *ch, uint32_t id, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
