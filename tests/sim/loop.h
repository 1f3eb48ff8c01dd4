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

/* Call fn once, after what runs now, in order; or after a delay. If the loop ends first, drop (may
 * be NULL) gets the argument instead, to free it. */
void loop_defer(void (*fn)(void *), void *arg, void (*drop)(void *));
void loop_after(unsigned ms, void (*fn)(void *), void *arg, void (*drop)(void *));

#endif
