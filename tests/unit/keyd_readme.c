/* The table of verbs in keyd/README.md, by which an auditor reads, against the tables that run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "keyd/bounds.h"
#include "keyd/dispatch.h"

enum {
	VERB = 1,
	WHO,
	STATE,
	CHECKS,
	COLUMNS = 7
};

static const struct verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < dispatch_nverbs; i++)
		if (strcmp(dispatch_verbs[i].row.name, name) == 0)
			return &dispatch_verbs[i];
	return NULL;
}

/* The cells of "| a | b |", without blanks around them. 0: no such line. */
static size_t
cells(char *line, char *cell[COLUMNS])
{
	static char empty[1];
	size_t n;
	char *p;

	for (n = 0; n < COLUMNS; n++)
		cell[n] = empty;
	n = 0;
	for (p = strsep(&line, "|"); p != NULL && n < COLUMNS; p = strsep(&line, "|")) {
		p += strspn(p, " ");
		while (p[0] != '\0' && strchr(" \n", p[strlen(p) - 1]) != NULL)
			p[strlen(p) - 1] = '\0';
		cell[n++] = p;
	}
	return n;
}

static void
check_row(char *cell[COLUMNS])
{
	const struct verb *v = find_verb(cell[VERB]);
	int device = strstr(cell[STATE], "device") != NULL;
	int unlinked = strstr(cell[STATE], "device, unlinked") != NULL;

	if (v == NULL || strcmp(cell[WHO], v->who == PEER_NETD ? "netd" : "apid") != 0) {
		fail_msg("%s: %s may not ask it", cell[VERB], cell[WHO]);
		return;
	}
	if (device != (v->needs >= VERB_DEVICE) || unlinked != (v->needs == VERB_UNLINKED))
		fail_msg("%s: its state is not \"%s\"", cell[VERB], cell[STATE]);
	/* what run checks beyond is in the README too, so only one way */
	if ((v->check != NULL || bounds_of(v->row.desc)) && cell[CHECKS][0] == '\0')
		fail_msg("%s: its fields are checked", cell[VERB]);
}

static void
test_table(void **state)
{
	FILE *f = fopen("keyd/README.md", "re"); /* tests run at the top of the tree */
	char line[2048], *cell[COLUMNS];
	char seen[64][24] = {""};
	size_t rows = 0, i;
	int here = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "## ", 3) == 0)
			here = strcmp(line, "## Verbs\n") == 0;
		if (!here || line[0] != '|' || strncmp(line, "| verb", 6) == 0 ||
		    strncmp(line, "|--", 3) == 0)
			continue;
		assert_int_equal(cells(line, cell), COLUMNS);
		check_row(cell);
		for (i = 0; i < rows; i++)
			assert_string_not_equal(seen[i], cell[VERB]);
		assert_true(rows < 64);
		(void)snprintf(seen[rows++], sizeof(seen[0]), "%s", cell[VERB]);
	}
	(void)fclose(f);
	/* each is another one, so equal numbers mean all of them */
	assert_int_equal(rows, dispatch_nverbs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("keyd: README", tests, NULL, NULL);
}
