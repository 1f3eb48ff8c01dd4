/* The TCP ports that netd needs, from the URLs in the config. */
#include "sandbox/ports.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static uint16_t
scheme_port(const char *scheme, size_t len, int is_proxy)
{
	static const struct {
		const char *name;
		uint16_t port, proxy_port;
	} schemes[] = {
	    {"wss", 443, 0},
	    {"https", 443, 443},
	    {"ws", 80, 0},
	    {"http", 80, 1080},
	    {"socks5", 0, 1080},
	    {"socks5h", 0, 1080},
	};
	size_t i;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strlen(schemes[i].name) == len &&
		    strncasecmp(schemes[i].name, scheme, len) == 0)
			return (is_proxy ? schemes[i].proxy_port : schemes[i].port);
	}
	return (0);
}

/* 1 … 65535, all of the text; 0 otherwise. */
static uint16_t
port_number(const char *s, size_t len)
{
	unsigned v = 0;
	size_t i;

	if (len == 0 || len > 5)
		return (0);
	for (i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return (0);
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	return (v <= 65535 ? (uint16_t)v : 0);
}

uint16_t
ports_of_url(const char *url, int is_proxy)
{
	const char *host, *end, *p;
	uint16_t fallback;

	if ((p = strstr(url, "://")) == NULL)
		return (0);
	if ((fallback = scheme_port(url, (size_t)(p - url), is_proxy)) == 0)
		return (0);
	host = p + 3;
	end = host + strcspn(host, "/?#");
	for (p = host; p < end; p++) {
		if (*p == '@')
			host = p + 1;
	}
	if (host == end)
		return (0);
	if (*host == '[') { /* an IPv6 address */
		if ((p = memchr(host, ']', (size_t)(end - host))) == NULL)
			return (0);
		p++;
	} else if ((p = memchr(host, ':', (size_t)(end - host))) == NULL) {
		p = end;
	}
	if (p == end)
		return (fallback);
	return (*p == ':' ? port_number(p + 1, (size_t)(end - p - 1)) : 0);
}

size_t
ports_of_config(const struct config *c, uint16_t *out, size_t max)
{
	uint16_t found[2];
	size_t i, j, n = 0;

	found[0] = ports_of_url(config_str(c, "network", "url"), 0);
	found[1] = ports_of_url(config_str(c, "network", "proxy"), 1);
	for (i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		for (j = 0; j < n && out[j] != found[i]; j++)
			;
		if (found[i] != 0 && j == n && n < max)
			out[n++] = found[i];
	}
	return (n);
}
