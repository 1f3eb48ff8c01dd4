/* Databases that are given up while others still want something of them: units, consumers, a backup
 * and a change of keys in the same turn. */
#include "tests/unit/stored_tasks.h"

#define COPY "account-a.db-copy"

/* ---------------------------------------------------------------- the service's */

static enum store_status
save_damaged(struct store_db *db, const struct store_log_state *st)
{
	(void)db;
	(void)st;
	return STORE_CORRUPT;
}

/* A unit stumbles over the damage of service.db, and a consumer comes in the same turn. */
static void
test_unit_and_consumer(void **state)
{
	struct rig *g = rig_open(2);
	struct store_backend damaged = store_sqlcipher;
	Stored__ConsumerOpen c = STORED__CONSUMER_OPEN__INIT;
	struct rig_reply unit, consumer;

	damaged.log_save = save_damaged;
	g->s->backend = &damaged;
	c.name = rig_str("reader");
	c.from = STORED__CONSUMER_OPEN__FROM__LATEST;
	rig_unit_open(g, "a", 1);
	rig_commit(g, "a", 1, 0, "{}", NULL, &unit);
	rig_send(g->apid, STORED__TYPE__CONSUMER_OPEN, &c.base, STORED__TYPE__CONSUMER,
	    &stored__consumer__descriptor, &consumer);
	RIG_UNTIL(g, unit.came && consumer.came);
	assert_false(rig_result(&unit)->committed);
	assert_string_equal(rig_result(&unit)->reason, "corrupt");
	assert_false(consumer.ok);
	assert_string_equal(consumer.code, "corrupt");
	rig_reply_clear(&unit);

	/* it is told as what it is: no account is damaged */
	RIG_UNTIL(g, !g->service_ok);
	assert_string_equal(g->s->service_opened.text, "service.db is damaged");
	assert_string_equal(g->s->accounts[0].opened.text, "the service's database is damaged");
	assert_string_equal(g->s->accounts[1].opened.text, "the service's database is damaged");
	assert_int_equal(g->lost, 0);
	rig_free(g);
}

/* A backup without service.db could not be restored: none is made. */
static void
test_backup_begins(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Backup m = STORED__BACKUP__INIT;
	struct rig_reply r = {.desc = &stored__task__descriptor};
	int fd;

	tasks_keyring();
	tasks_unit(g, "a", 1);
	assert_int_not_equal(fd = open("out", O_RDWR | O_CREAT | O_CLOEXEC, 0600), -1);
	assert_int_not_equal(channel_request_fd(g->apid, STORED__TYPE__BACKUP, &m.base, fd,
				 STORED__TYPE__TASK, r.desc, 64, 600000, rig_on_reply, &r),
	    0);
	RIG_UNTIL(g, g->s->task != NULL);
	store_trouble(g->s, NULL, STORE_CORRUPT);
	RIG_UNTIL(g, r.came && r.ok);
	tasks_wait(g, ((Stored__Task *)r.pb)->task, "account_failed");
	assert_non_null(strstr(g->task.text, "service.db is damaged"));
	rig_reply_clear(&r);
	rig_free(g);
}

/* ---------------------------------------------------------------- an account's */

/* By this clock every step takes long, so that the timer rests as long as it does at most. */
static int64_t
striding(void)
{
	static int64_t add;

	return rig_mono() + (add += 20);
}

/* Other keys are wanted while the copy for the last ones is being made, and the database goes
 * before the timer looks at it again. */
static void
test_keys_again(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Rekey m = STORED__REKEY__INIT;
	Stored__AccountKey a = STORED__ACCOUNT_KEY__INIT, *list[1] = {&a};
	uint8_t key[32] = {1};
	struct rig_reply r;

	tasks_fill(g, "a", 0, 300);
	rig_unit_open(g, "a", rig_unit_next()); /* while units wait, the timer rests after a step */
	a.account = rig_str("a");
	a.has_next_key = 1;
	a.key.data = a.next_key.data = m.service_next_key.data = key;
	a.key.len = a.next_key.len = m.service_next_key.len = sizeof(key);
	m.accounts = list;
	m.n_accounts = 1;
	rig_ask(g, g->keyd, STORED__TYPE__REKEY, &m.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, &r);
	assert_true(r.ok);
	rig_reply_clear(&r);
	g->s->mono = striding;
	RIG_UNTIL(g, access(COPY, F_OK) == 0);
	key[0] = 2;
	rig_send(g->keyd, STORED__TYPE__REKEY, &m.base, STORED__TYPE__DONE,
	    &stored__done__descriptor, &r);
	rig_turn(g); /* it is on its way, and not read yet */
	store_trouble(g->s, &g->s->accounts[0], STORE_CORRUPT);
	assert_int_equal(access(COPY, F_OK), -1);
	RIG_UNTIL(g, r.came);
	assert_true(r.ok);
	rig_reply_clear(&r);
	RIG_UNTIL(g, g->nrekeyed == 1); /* the service's */
	rig_free(g);
}

/* Readers go on past the events of an account that cannot be opened: with it they are there again,
 * and go by force alone until then. */
static void
test_events_stay(void **state)
{
	struct store_options o = rig_options;
	const Stored__Events *e;
	struct rig_reply r;
	struct rig *g = rig_open(2);
	int i;

	o.keep_acked_ms = 1000;
	o.max_age_ms = 3600000;
	rig_event(g, "a", "{}", NULL); /* with no consumer, all is acked */
	rig_event(g, "b", "{}", NULL);
	rig_free(g);
	assert_int_equal(rename("account-b.db", "away"), 0);
	assert_int_equal(mkdir("account-b.db", 0700), 0);
	g = rig_new_with(rig_names, 2, &o);
	rig_unlock_salt(g, 0, NULL, &r);
	rig_reply_clear(&r);
	assert_false(g->s->accounts[1].opened.ok);
	for (i = 0; i < 5; i++)
		rig_later(g, 2000);
	assert_int_equal(rig_events(g, 0, 10, NULL, &r)->n_events, 1);
	rig_reply_clear(&r);
	rig_free(g);

	assert_int_equal(rmdir("account-b.db"), 0);
	assert_int_equal(rename("away", "account-b.db"), 0);
	g = rig_new_with(rig_names, 2, &o);
	rig_unlock(g);
	e = rig_events(g, 0, 10, "b", &r);
	assert_int_equal(e->n_events, 1);
	assert_int_equal(e->events[0]->seq, 2);
	rig_reply_clear(&r);
	for (i = 0; i < 3; i++)
		rig_later(g, 2000);
	assert_int_equal(rig_events(g, 0, 10, NULL, &r)->n_events, 0);
	rig_reply_clear(&r);
	rig_free(g);
}

/* By force they go all the same: the log keeps its bound. */
static void
test_events_go_by_force(void **state)
{
	struct store_options o = rig_options;
	struct rig_reply r;
	struct rig *g;
	int i;

	o.keep_acked_ms = 1000;
	o.max_age_ms = 60000;
	g = rig_new_with(rig_names, 2, &o);
	rig_unlock(g);
	rig_event(g, "a", "{}", NULL);
	store_trouble(g->s, &g->s->accounts[1], STORE_CORRUPT);
	for (i = 0; i < 5; i++)
		rig_later(g, 2000);
	assert_int_equal(rig_events(g, 0, 10, NULL, &r)->n_events, 1);
	rig_reply_clear(&r);
	rig_later(g, 60000);
	for (i = 0; i < 3; i++)
		rig_later(g, 2000);
	assert_int_equal(rig_events(g, 0, 10, NULL, &r)->n_events, 0);
	rig_reply_clear(&r);
	rig_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_unit_and_consumer, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_backup_begins, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_keys_again, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_events_stay, rig_setup, rig_teardown),
	    cmocka_unit_test_setup_teardown(test_events_go_by_force, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
