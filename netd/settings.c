/* What the config says about connections, parsed once. */
#include <string.h>

#include "common/log.h"
#include "netd/settings.h"

#define SCHEME "wss://"

/* ":port" to the end of the authority; nothing = 443. */
static int
parse_port(const char *s, size_t len, unsigned *port)
{
	unsigned v = 0;
	size_t i;

	*port = 443;
	if (len == 0)
		return 0;
	if (s[0] != ':' || len < 2 || len > 6)
		return -1;
	for (i = 1; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	if (v == 0 || v > 65535)
		return -1;
	*port = v;
	return 0;
}

static int
host_ok(const char *s, size_t len, int v6)
{
	static const char name[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	static const char address[] = "abcdefABCDEF0123456789:.";
	size_t i;

	for (i = 0; i < len; i++) {
		if (strchr(v6 ? address : name, s[i]) == NULL)
			return 0;
	}
	return len > 0 && len < SETTINGS_HOST_MAX;
}

static int
path_ok(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s <= ' ' || *s > '~' || *s == '#')
			return 0;
	}
	return 1;
}

int
settings_url(struct settings *s, const char *url)
{
	const char *host, *end, *path;
	size_t len, all;
	int v6;

	if (strncmp(url, SCHEME, strlen(SCHEME)) != 0)
		return -1;
	host = url + strlen(SCHEME);
	all = strcspn(host, "/?");
	path = host + all;
	v6 = host[0] == '[';
	if (v6) {
		end = memchr(host, ']', all);
		if (end == NULL)
			return -1;
		len = (size_t)(end - host) - 1;
		if (parse_port(end + 1, all - len - 2, &s->port) == -1)
			return -1;
		host++;
	} else {
		end = memchr(host, ':', all);
		len = end != NULL ? (size_t)(end - host) : all;
		if (parse_port(host + len, all - len, &s->port) == -1)
			return -1;
	}
	if (!host_ok(host, len, v6) || !path_ok(path) || strlen(path) + 2 > SETTINGS_PATH_MAX)
		return -1;
	memcpy(s->host, host, len);
	s->host[len] = '\0';
	s->path[0] = '/';
	memcpy(s->path + (path[0] != '/'), path, strlen(path) + 1);
	if (path[0] == '\0')
		s->path[1] = '\0';
	return 0;
}

int
settings_load(struct settings *s, const struct config *c)
{
	if (settings_url(s, config_str(c, "network", "url")) == -1) {
		log_errx("network.url: not of the form wss://host[:port][/path]");
		return -1;
	}
	s->proxy = config_str(c, "network", "proxy");
	s->user_agent = config_str(c, "network", "user_agent");
	s->connect_timeout_ms = config_int(c, "network", "connect_timeout");
	s->keepalive_min_ms = config_int(c, "network", "keepalive_min");
	s->keepalive_max_ms = config_int(c, "network", "keepalive_max");
	s->keepalive_deadline_ms = config_int(c, "network", "keepalive_deadline");
	s->backoff_unit_ms = config_int(c, "network", "backoff_unit");
	s->backoff_max_ms = config_int(c, "network", "backoff_max");
	s->stable_after_ms = config_int(c, "network", "stable_after");
	if (s->keepalive_max_ms < s->keepalive_min_ms) {
		log_errx("network.keepalive_max is less than network.keepalive_min");
		return -1;
	}
	return 0;
}
