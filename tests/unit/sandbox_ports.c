/* The ports that netd may reach come from the URLs of the config, and from nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/ports.h"

static void
urls(void **state)
{
	static const struct {
		const char *url;
		int is_proxy;
		uint16_t want;
	} t[] = {
	    {"wss://web.whatsapp.com/ws/chat", 0, 443},
	    {"WSS://web.whatsapp.com", 0, 443},
	    {"wss://127.0.0.1:8443/ws/chat", 0, 8443},
	    {"wss://[::1]:8443/ws", 0, 8443},
	    {"wss://[::1]/ws", 0, 443},
	    {"ws://h", 0, 80},
	    {"https://h:1/", 0, 1},
	    {"wss://h:65535/", 0, 65535},
	    {"wss://h/path:99", 0, 443},
	    {"wss://h?q=1:99", 0, 443},
	    {"socks5://10.0.0.1:9050", 1, 9050},
	    {"socks5h://proxy", 1, 1080},
	    {"http://user:pw@proxy:3128", 1, 3128},
	    {"http://user:12@proxy", 1, 1080},
	    {"https://proxy", 1, 443},
	    {"socks5://h", 0, 0},
	    {"wss://h", 1, 0},
	    {"wss://h:0/", 0, 0},
	    {"wss://h:65536/", 0, 0},
	    {"wss://h:/", 0, 0},
	    {"wss://h:12x/", 0, 0},
	    {"wss://h:-1/", 0, 0},
	    {"wss://h:000443/", 0, 0},
	    {"wss://[::1", 0, 0},
	    {"wss://[::1]x", 0, 0},
	    {"wss:///path", 0, 0},
	    {"gopher://h", 0, 0},
	    {"h:443", 0, 0},
	    {"", 0, 0},
	};
	size_t i;
	uint16_t got;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		got = ports_of_url(t[i].url, t[i].is_proxy);
		if (got != t[i].want)
			fail_msg("%s: %u, wanted %u", t[i].url, got, t[i].want);
	}
}

static void
of_config(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		uint16_t port[2];
	} t[] = {
	    {"[account a]\n", 1, {443}},
	    {"[network]\nurl = wss://127.0.0.1:8443/ws\n[account a]\n", 1, {8443}},
	    {"[network]\nproxy = socks5h://127.0.0.1:9050\n[account a]\n", 2, {443, 9050}},
	    {"[network]\nproxy = https://127.0.0.1\n[account a]\n", 1, {443}},
	};
	struct config *c;
	uint16_t got[16];
	char err[256];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		c = config_parse("t", t[i].text, strlen(t[i].text), err, sizeof(err));
		if (c == NULL)
			fail_msg("%s", err);
		assert_int_equal(ports_of_config(c, got, 16), t[i].n);
		assert_memory_equal(got, t[i].port, t[i].n * sizeof(got[0]));
		assert_int_equal(ports_of_config(c, got, 1), 1);
		config_free(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(urls),
	    cmocka_unit_test(of_config),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
