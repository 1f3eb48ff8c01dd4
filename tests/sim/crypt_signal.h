/* What libsignal-protocol-c needs from outside: its crypto provider, and a faster curve. */
#ifndef SIM_CRYPT_SIGNAL_H
#define SIM_CRYPT_SIGNAL_H

#include <signal/signal_protocol.h>

signal_context *crypt_signal_new(void); /* NULL on failure */
void crypt_signal_fini(void);
/* How often the replaced curve function has run: 0 means that the library runs its own. */
unsigned long crypt_signal_curve_calls(void);

#endif
