/* libsignal's context and its crypto provider. */
#ifndef WARD_PROVIDER_H
#define WARD_PROVIDER_H

#include <signal/signal_protocol.h>

/* Makes the one context of the process. After crypto_warm_up. Dies if it cannot. */
void provider_warm_up(void);
extern signal_context *provider_context;

/* libsignal returns the same code for a wrong MAC and for "no state fits"; only its log text tells
 * them apart (protocol page 04, 4.3 trap 2). Clear before a call, look after it. Nothing of that
 * text is kept or printed: it names people. */
extern int provider_mac_failed;

#endif
