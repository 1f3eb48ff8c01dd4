/* Flows: one end whatever ends them, in the right order, with nothing left over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/flow.h"
#include "tests/unit/slow.h"

struct job {
	struct flow flow; /* first */
	int number;
	struct job *takes_along; /* its end ends that one too */
	int begins_another;
};

static struct flow_set *set;
static struct event_base *base;
static int ended[16], nended;
static char outcome[16][16];

static struct job *job_new(int number, const char *account, const void *group, unsigned deadline);

static void
job_end(struct flow *f, const char *how, const char *text)
{
	struct job *j = (struct job *)f;

	assert_int_equal(how == NULL, text == NULL);
	ended[nended] = j->number;
	snprintf(outcome[nended++], sizeof(outcome[0]), "%s", how != NULL ? how : "ok");
	flow_end(f, "again", "must change nothing");
	if (j->takes_along != NULL)
		flow_end(&j->takes_along->flow, "dragged", "along");
	if (j->begins_another)
		job_new(j->number + 100, "x", j->flow.group, 0);
	flow_fini(f);
	free(j);
}

static const struct flow_kind job_kind = {"job", job_end};
static const struct flow_kind other_kind = {"other", job_end};

static struct job *
job_new(int number, const char *account, const void *group, unsigned deadline)
{
	struct job *j = calloc(1, sizeof(*j));

	flow_init(&j->flow, set, number % 2 ? &job_kind : &other_kind, account, group, deadline);
	j->number = number;
	return j;
}

static int
setup(void **state)
{
	base = event_base_new();
	set = flow_set_new(base);
	nended = 0;
	return 0;
}

static int
teardown(void **state)
{
	flow_set_free(set);
	event_base_free(base);
	return 0;
}

static void
collect(const struct flow *f, void *arg)
{
	char *out = arg;
	size_t n = strlen(out);

	out[n] = (char)('0' + ((const struct job *)f)->number);
	out[n + 1] = '\0';
}

static void
test_list(void **state)
{
	char seen[8] = "";
	struct job *two;

	job_new(1, "a", NULL, 0);
	two = job_new(2, "a", NULL, 0);
	job_new(3, "b", NULL, 0);
	assert_int_equal(flow_count(set, NULL, NULL), 3);
	assert_int_equal(flow_count(set, "job", NULL), 2);
	assert_int_equal(flow_count(set, "job", "a"), 1);
	assert_int_equal(flow_count(set, NULL, "a"), 2);
	assert_int_equal(flow_count(set, "none", NULL), 0);
	flow_step(&two->flow, "devices");
	assert_string_equal(two->flow.step, "devices");
	flow_each(set, collect, seen);
	assert_string_equal(seen, "123");
	flow_end(&two->flow, NULL, NULL);
	assert_int_equal(nended, 1);
	assert_string_equal(outcome[0], "ok");
	assert_int_equal(flow_count(set, NULL, NULL), 2);
}

static void
test_deadline(void **state)
{
	job_new(1, "a", NULL, 20);
	job_new(2, "a", NULL, 1);
	job_new(3, "a", NULL, 0);
	flow_end(&job_new(4, "a", NULL, 1)->flow, NULL, NULL);
	event_base_dispatch(base); /* returns when no timer is left */
	assert_int_equal(nended, 3);
	assert_int_equal(ended[0], 4);
	assert_int_equal(ended[1], 2);
	assert_int_equal(ended[2], 1);
	assert_string_equal(outcome[1], "timeout");
	assert_int_equal(flow_count(set, NULL, NULL), 1);
}

static void
test_cancel_group(void **state)
{
	int mine = 0, theirs = 0;
	struct job *j1, *j4;

	j1 = job_new(1, "a", &mine, 1000);
	job_new(2, "a", &theirs, 1000);
	job_new(3, "a", &mine, 1000);
	j4 = job_new(4, "a", &mine, 1000);
	j1->takes_along = j4;
	j1->begins_another = 1;
	flow_cancel_group(set, &mine, "the client left");
	assert_int_equal(nended, 3);
	assert_int_equal(ended[0], 1);
	assert_int_equal(ended[1], 4);
	assert_int_equal(ended[2], 3);
	assert_string_equal(outcome[0], "cancelled");
	assert_string_equal(outcome[1], "dragged");
	/* the other group, and the one that began meanwhile */
	assert_int_equal(flow_count(set, NULL, NULL), 2);
	flow_cancel_group(set, NULL, "nobody");
	assert_int_equal(flow_count(set, NULL, NULL), 2);
}

static void
test_free_ends_all(void **state)
{
	job_new(1, "a", NULL, 1000)->begins_another = 1;
	job_new(2, "b", NULL, 0);
	flow_set_free(set);
	assert_int_equal(nended, 3);
	assert_int_equal(ended[2], 101);
	set = flow_set_new(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_list, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cancel_group, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_free_ends_all, setup, teardown),
	};

	alarm(60 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
