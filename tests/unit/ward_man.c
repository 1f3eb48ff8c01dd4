/* ward.conf(5) and the table of keys say the same: every key, its values, bounds, default and
 * meaning. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/config.h"

#define PAGE "sandbox/ward.conf.5" /* tests run in the top folder */

static char *page;

static int
read_page(void **state)
{
	struct buf b = BUF_INIT;
	uint8_t *p;
	ssize_t n;
	int fd = open(PAGE, O_RDONLY);

	if (fd == -1)
		return (-1);
	do {
		if ((p = buf_reserve(&b, 4096)) == NULL || (n = read(fd, p, 4096)) == -1)
			return (-1);
		b.len -= 4096 - (size_t)n;
	} while (n > 0);
	close(fd);
	page = strdup(buf_cstr(&b));
	buf_clear(&b);
	return (page != NULL ? 0 : -1);
}

static int
free_page(void **state)
{
	free(page);
	return (0);
}

/* A number as the page writes it: in the largest unit that divides it. */
static void
number(char *out, size_t size, enum config_type type, int64_t v)
{
	static const struct {
		enum config_type type;
		int64_t unit;
		const char *suffix;
	} units[] = {
	    {CONFIG_SIZE, 1LL << 30, "G"},
	    {CONFIG_SIZE, 1LL << 20, "M"},
	    {CONFIG_SIZE, 1LL << 10, "K"},
	    {CONFIG_TIME_MS, 86400000, "d"},
	    {CONFIG_TIME_MS, 3600000, "h"},
	    {CONFIG_TIME_MS, 60000, "m"},
	    {CONFIG_TIME_MS, 1000, "s"},
	};
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].type == type && v != 0 && v % units[i].unit == 0) {
			snprintf(
			    out, size, "%lld%s", (long long)(v / units[i].unit), units[i].suffix);
			return;
		}
	}
	snprintf(out, size, "%lld%s", (long long)v, type == CONFIG_TIME_MS ? "ms" : "");
}

/* The values that a key may have, as its .It line ends. */
static void
values_of(const struct config_key *k, char *out, size_t size)
{
	static const char *const words[] = {
	    [CONFIG_STRING] = "string",
	    [CONFIG_INT] = "number",
	    [CONFIG_SIZE] = "size",
	    [CONFIG_TIME_MS] = "time",
	    [CONFIG_MODE] = "mode",
	};
	const char *p;
	size_t n;

	if (k->type == CONFIG_BOOL) {
		snprintf(out, size, "Cm yes | no");
		return;
	}
	if (k->type != CONFIG_CHOICE) {
		snprintf(out, size, "Ar %s",
		    k->type == CONFIG_STRING && k->choices != NULL ? k->choices : words[k->type]);
		return;
	}
	n = (size_t)snprintf(out, size, "Cm ");
	for (p = k->choices; *p != '\0' && n + 4 < size; p++)
		n += (size_t)snprintf(out + n, size - n, *p == '|' ? " | " : "%c", *p);
}

/* What the page must hold of a key, its text on one line. */
static void
entry_of(const struct config_key *k, char *out, size_t size)
{
	char values[256], min[32], max[32];
	size_t n;

	values_of(k, values, sizeof(values));
	n = (size_t)snprintf(out, size, ".It Cm %s No = %s %s", k->key, values, k->doc);
	if (k->type == CONFIG_INT || k->type == CONFIG_SIZE || k->type == CONFIG_TIME_MS) {
		number(min, sizeof(min), k->type, k->min);
		number(max, sizeof(max), k->type, k->max);
		n += (size_t)snprintf(out + n, size - n, " From %s to %s.", min, max);
	}
	if (k->fallback[0] != '\0')
		snprintf(out + n, size - n, " The default is .Ql %s .", k->fallback);
}

/* The nth .It of a section of the page, its lines joined by blanks; NULL behind the last. */
static char *
entry_in_page(const char *section, unsigned nth)
{
	char head[80], *p, *end, *copy, *c;

	snprintf(head, sizeof(head), "\n.Ss %s\n", section);
	if ((p = strstr(page, head)) == NULL)
		return (NULL);
	p += strlen(head);
	end = strstr(p, "\n.El");
	assert_non_null(end);
	for (p = strstr(p, ".It "); p != NULL && nth > 0; nth--)
		p = strstr(p + 4, ".It ");
	if (p == NULL || p > end)
		return (NULL);
	c = strstr(p, "\n.It ");
	if (c != NULL && c < end)
		end = c;
	if ((copy = strndup(p, (size_t)(end - p))) == NULL)
		return (NULL);
	for (c = copy; (c = strchr(c, '\n')) != NULL;)
		*c = ' ';
	return (copy);
}

static void
every_key_is_in_the_page(void **state)
{
	const char *section = "";
	char want[1024], *got;
	unsigned nth = 0;
	size_t i;

	assert_true(config_nkeys > 20);
	for (i = 0; i <= config_nkeys; i++) {
		if (i == config_nkeys || strcmp(section, config_keys[i].section) != 0) {
			if (section[0] != '\0' && (got = entry_in_page(section, nth)) != NULL)
				fail_msg("[%s]: the page has a key that is not in the table: %s",
				    section, got);
			if (i == config_nkeys)
				break;
			section = config_keys[i].section;
			nth = 0;
		}
		entry_of(&config_keys[i], want, sizeof(want));
		if ((got = entry_in_page(section, nth++)) == NULL)
			fail_msg("[%s]: the page lacks: %s", section, want);
		else if (strcmp(got, want) != 0)
			fail_msg("[%s]: the page says\n%s\nthe table\n%s", section, got, want);
		free(got);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_key_is_in_the_page),
	};

	return (cmocka_run_group_tests(tests, read_page, free_page));
}
