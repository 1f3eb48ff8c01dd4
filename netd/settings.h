/* What the config says about connections, parsed once. */
#ifndef WARD_NETD_SETTINGS_H
#define WARD_NETD_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "common/config.h"

#define SETTINGS_HOST_MAX 256
#define SETTINGS_PATH_MAX 1024

struct settings {
	char host[SETTINGS_HOST_MAX]; /* without the brackets of an IPv6 address */
	char path[SETTINGS_PATH_MAX]; /* begins with a slash */
	unsigned port;
	const char *proxy;      /* "" = none */
	const char *user_agent; /* "" = no such header */
	int64_t connect_timeout_ms;
	int64_t keepalive_min_ms, keepalive_max_ms, keepalive_deadline_ms;
	int64_t backoff_unit_ms, backoff_max_ms, stable_after_ms;
	const void *ca; /* PEM bundle, kept by the caller */
	size_t ca_len;
};

/* "wss://host[:port][/path]": 0, or -1. Nothing else is taken (no user, no fragment). */
int settings_url(struct settings *s, const char *url);
/* From [network]; strings stay the config's. 0, or -1: logged. The CA bundle is not touched. */
int settings_load(struct settings *s, const struct config *c);

#endif
