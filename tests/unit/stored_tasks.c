/* Long work for people: backups under load, and what they restore to; the check; tasks in general.
 */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

#include <errno.h>
#include <poll.h>

#include "stored/keyring.h"
#include "stored/task.h"

/* ---------------------------------------------------------------- tasks */

/* Ask for a backup; the descriptor is the channel's. The task's number, or 0: see r. */
static uint64_t
ask_backup(struct rig *g, int fd, struct rig_reply *r)
{
	Stored__Backup m = STORED__BACKUP__INIT;

	memset(r, 0, sizeof(*r));
	r->desc = &stored__task__descriptor;
	assert_int_not_equal(channel_request_fd(g->apid, STORED__TYPE__BACKUP, &m.base, fd,
				 STORED__TYPE__TASK, r->desc, 64, 600000, rig_on_reply, r),
	    0);
	RIG_UNTIL(g, r->came);
	if (!r->ok)
		return 0;
	return ((Stored__Task *)r->pb)->task;
}

static uint64_t
begin_backup(struct rig *g, int fd)
{
	struct rig_reply r;
	uint64_t task = ask_backup(g, fd, &r);

	if (task == 0)
		fail_msg("backup: %s: %s", r.code, r.text);
	rig_reply_clear(&r);
	return task;
}

static void
wait_end(struct rig *g, uint64_t task, const char *reason)
{
	RIG_UNTIL(g, g->task.task == task && g->task.ended);
	if (strcmp(g->task.reason, reason) != 0)
		fail_msg(
		    "ended with \"%s\" (%s), not \"%s\"", g->task.reason, g->task.text, reason);
}

static void
put_keyring(void)
{
	uint8_t header[64];

	memset(header, 7, sizeof(header));
	assert_int_equal(keyring_write(header, sizeof(header)), KEYRING_OK);
}

/* ---------------------------------------------------------------- backups */

static void
test_backup_to_file(void **state)
{
	struct rig *g = rig_new(2);
	int fd = open("b.tar", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t task;
	int i;

	put_keyring();
	rig_unlock(g);
	for (i = 0; i < 100; i++)
		rig_event(g, i & 1 ? "a" : "b", "{\"n\":1}", NULL);
	task = begin_backup(g, fd);
	wait_end(g, task, "");
	print_message("%s %llu/%llu\n", g->task.text, (unsigned long long)g->task.done,
	    (unsigned long long)g->task.total);
	rig_free(g);
	assert_int_equal(system("tar xOf b.tar ward-digests > /dev/null"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_backup_to_file, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
