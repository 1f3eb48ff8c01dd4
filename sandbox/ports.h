/* The TCP ports that netd needs, from the URLs in the config. */
#ifndef WARD_PORTS_H
#define WARD_PORTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/config.h"

/* The port of "scheme://[user@]host[:port][/…]", the scheme's own if none is written (wss and https
 * 443, ws and http 80; as a proxy: 1080, https 443). 0 if the text is no such URL. */
uint16_t ports_of_url(const char *url, int is_proxy);

/* Those of network.url and network.proxy, each once; returns how many (at most max). */
size_t ports_of_config(const struct config *c, uint16_t *out, size_t max);

#endif
