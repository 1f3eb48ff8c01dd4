/* The event loop and the server's clock, which tests can move. */
#ifndef SIM_LOOP_H
#define SIM_LOOP_H

#include <stdint.h>

#include <event2/event.h>

int loop_init(void);
void loop_fini(void);
struct event_base *loop_base(void);

int64_t loop_now_ms(void); /* the service's idea of the time */
int64_t loop_now(void);    /* the same in seconds */
void loop_advance(int64_t seconds);

/* Call fn once, after what runs now, in order; or after a delay. Both die with the loop: fn is then
 * never called, so `arg` must not be the only owner of anything but memory. */
void loop_defer(void (*fn)(void *), void *arg);
void loop_after(unsigned ms, void (*fn)(void *), void *arg);

#endif
