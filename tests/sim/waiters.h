/* `wait`: answered when an inbox, a receipt list or a device has got as far as asked. */
#ifndef SIM_WAITERS_H
#define SIM_WAITERS_H

#include "tests/sim/control.h"

json_t *waiters_wait(struct call *c);
void waiters_fini(void);

#endif
