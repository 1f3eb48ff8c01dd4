/* The insides of a channel, for channel.c and dispatch.c alone. */
#ifndef WARD_CHANNEL_PRIVATE_H
#define WARD_CHANNEL_PRIVATE_H

#include <stdint.h>

#include <event2/event.h>

#include "ipc/channel.h"
#include "ipc/frame.h"
#include "ipc/requests.h"

#define CHANNEL_CODE_MAX 64   /* bytes of an error's code */
#define CHANNEL_TEXT_MAX 1024 /* and of its text */

struct channel {
	struct channel_config cfg;
	char *name;
	int fd;
	struct frame_reader *reader;
	struct frame_writer *writer;
	struct event *ev_read, *ev_write;
	struct event *ev_later;    /* activated by hand: flush, tell the owner */
	struct event *ev_deadline; /* the one timer of all requests */
	int64_t armed;             /* when it fires; INT64_MAX = it does not */
	struct requests requests;
	unsigned state;
	unsigned pauses;
	uint8_t *seen; /* a byte a row: it has come */
	unsigned refs; /* the owner, running callbacks, held messages */

	unsigned dead : 1;    /* channel_close was called */
	unsigned freed : 1;   /* … and channel_free: nobody asks any more */
	unsigned ended : 1;   /* broken or closed: nothing is read or written any more */
	unsigned broken : 1;  /* … and which of the two */
	unsigned told : 1;    /* the owner knows */
	unsigned gone : 1;    /* the peer takes no more bytes; reading goes on to its end */
	unsigned blocked : 1; /* the socket is full, ev_write waits */
	unsigned full : 1;    /* was above out_high since the last on_drained */
	unsigned drained : 1; /* on_drained is due */
	unsigned reading : 1;
	unsigned read_on : 1; /* resumed */
	unsigned later : 1;   /* ev_later is active */

	const struct channel_row *row; /* of the frame whose header came last */
	char context[64];              /* name of that message, for fault lines */
	char refused[160];             /* why the header was refused, "" = it was not */
	char why[192];
};

void channel_ref(struct channel *ch);
void channel_unref(struct channel *ch);
/* Broken: log one line (unless quiet), stop, tell the owner from the loop. */
void channel_break(struct channel *ch, int quiet, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* dispatch.c */
frame_limit_fn dispatch_limit;
/* One whole frame; it is cleared. */
void dispatch_frame(struct channel *ch, struct frame *f);

#endif
