/* What stored promises of app state: collections, and the MACs of their mutations. */
#include "tests/unit/stored_rig.h"
#include "tests/unit/slow.h"

static uint8_t hash[128];

static void
collection_init(Stored__CollectionPut *c, const char *name, uint64_t version)
{
	stored__collection_put__init(c);
	c->name = rig_str(name);
	c->version = version;
	c->hash.data = hash;
	c->hash.len = sizeof(hash);
}

/* MACs number from..from + n - 1: their index names the number, their value the number and v. */
struct macs {
	Stored__Mac mac[40], *list[40];
	uint8_t index[40][32], value[40][32];
	Stored__MacsPut put;
};

static void
index_of(uint8_t out[32], int number)
{
	memset(out, number, 32);
	out[0] = '\0'; /* bytes, not text */
	out[31] = (uint8_t)(number % 3 == 0 ? '%' : '_');
}

static void
macs_init(struct macs *m, const char *collection, uint64_t version, int from, size_t n, uint8_t v)
{
	size_t i;

	stored__macs_put__init(&m->put);
	m->put.collection = rig_str(collection);
	m->put.version = version;
	m->put.n_macs = n;
	m->put.macs = m->list;
	for (i = 0; i < n; i++) {
		stored__mac__init(&m->mac[i]);
		m->list[i] = &m->mac[i];
		index_of(m->index[i], from + (int)i);
		memset(m->value[i], from + (int)i, 32);
		m->value[i][0] = v;
		m->mac[i].index = (ProtobufCBinaryData){32, m->index[i]};
		m->mac[i].value = (ProtobufCBinaryData){32, m->value[i]};
	}
}

/* The first bytes of the values of these numbers, in letters, '-' for absent; and what the
 * collection stands at. */
static uint64_t
look(struct rig *g, const char *collection, int from, size_t n, char *values)
{
	Stored__Lookup m = STORED__LOOKUP__INIT;
	Stored__MacsOf of = STORED__MACS_OF__INIT, *list[1] = {&of};
	ProtobufCBinaryData indexes[40];
	uint8_t index[40][32];
	char *name[1] = {rig_str(collection)};
	const Stored__LookupReply *got;
	struct rig_reply r;
	uint64_t version;
	size_t i;

	for (i = 0; i < n; i++) {
		index_of(index[i], from + (int)i);
		indexes[i] = (ProtobufCBinaryData){32, index[i]};
	}
	of.collection = rig_str(collection);
	of.n_indexes = n;
	of.indexes = indexes;
	m.n_macs = 1;
	m.macs = list;
	m.n_collections = 1;
	m.collections = name;
	assert_non_null(got = rig_lookup(g, &m, &r));
	assert_int_equal(got->n_macs, 1);
	assert_int_equal(got->macs[0]->n_values, n);
	for (i = 0; i < n; i++) {
		const ProtobufCBinaryData *v = &got->macs[0]->values[i];

		values[i] = '-';
		if (v->len == 0)
			continue;
		assert_int_equal(v->len, 32);
		assert_int_equal(v->data[31], from + (int)i);
		values[i] = (char)v->data[0];
	}
	values[n] = '\0';
	assert_int_equal(got->n_collections, 1);
	assert_string_equal(got->collections[0]->name, collection);
	version = got->collections[0]->version;
	rig_reply_clear(&r);
	return version;
}

static void
test_collections(void **state)
{
	struct rig *g = rig_open(1);
	Stored__CollectionPut c, c2;
	Stored__Write w = STORED__WRITE__INIT, w2 = STORED__WRITE__INIT, *both[2] = {&w, &w2};
	Stored__Lookup m = STORED__LOOKUP__INIT;
	char *names[3] = {rig_str("regular_low"), rig_str("regular_high"), rig_str("regular%")};
	const Stored__LookupReply *got;
	struct rig_reply r;

	hash[0] = 1;
	hash[127] = 2;
	collection_init(&c, "regular_low", 7);
	c.has_mac_mismatch_fatal = c.mac_mismatch_fatal = 1;
	collection_init(&c2, "regular_high", 0);
	w.collection_put = &c;
	w2.collection_put = &c2;
	rig_writes(g, "a", both, 2, NULL);
	m.n_collections = 3;
	m.collections = names;
	assert_non_null(got = rig_lookup(g, &m, &r));
	assert_int_equal(got->n_collections, 3);
	assert_int_equal(got->collections[0]->version, 7);
	assert_int_equal(got->collections[0]->hash.len, 128);
	assert_memory_equal(got->collections[0]->hash.data, hash, 128);
	assert_true(got->collections[0]->mac_mismatch_fatal);
	assert_true(got->collections[1]->has_hash);
	assert_false(got->collections[1]->has_mac_mismatch_fatal);
	/* absent: version 0, no hash */
	assert_string_equal(got->collections[2]->name, "regular%");
	assert_int_equal(got->collections[2]->version, 0);
	assert_false(got->collections[2]->has_hash);
	rig_reply_clear(&r);

	/* a put replaces all of it, and lasts */
	hash[0] = 9;
	collection_init(&c, "regular_low", 5);
	rig_write(g, "a", &w, NULL);
	rig_free(g);
	g = rig_open(1);
	assert_non_null(got = rig_lookup(g, &m, &r));
	assert_int_equal(got->collections[0]->version, 5);
	assert_int_equal(got->collections[0]->hash.data[0], 9);
	assert_false(got->collections[0]->has_mac_mismatch_fatal);
	rig_reply_clear(&r);
	rig_free(g);
}

static void
test_macs(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Write w = STORED__WRITE__INIT;
	Stored__MacsDelete d = STORED__MACS_DELETE__INIT;
	ProtobufCBinaryData gone[3];
	uint8_t index[3][32];
	struct macs m;
	char v[41];
	int i;

	macs_init(&m, "regular", 1, 1, 6, 'a');
	w.macs_put = &m.put;
	rig_write(g, "a", &w, NULL);
	macs_init(&m, "regular_", 1, 1, 2, 'x'); /* another collection */
	rig_write(g, "a", &w, NULL);
	(void)look(g, "regular", 0, 8, v);
	assert_string_equal(v, "-aaaaaa-");
	/* replaced by index; one index twice: the last counts */
	macs_init(&m, "regular", 2, 5, 3, 'b');
	memcpy(m.index[2], m.index[0], 32);
	memcpy(m.value[2], m.value[0], 32);
	m.value[2][0] = 'c';
	rig_write(g, "a", &w, NULL);
	(void)look(g, "regular", 0, 8, v);
	assert_string_equal(v, "-aaaacb-");
	/* delete: also of what is absent */
	w.macs_put = NULL;
	w.macs_delete = &d;
	d.collection = rig_str("regular");
	d.n_indexes = 3;
	d.indexes = gone;
	for (i = 0; i < 3; i++) {
		index_of(index[i], 1 + 10 * i);
		gone[i] = (ProtobufCBinaryData){32, index[i]};
	}
	rig_write(g, "a", &w, NULL);
	(void)look(g, "regular", 0, 8, v);
	assert_string_equal(v, "--aaacb-");
	/* an empty batch */
	d.n_indexes = 0;
	rig_write(g, "a", &w, NULL);
	w.macs_delete = NULL;
	w.macs_clear = rig_str("regular");
	rig_write(g, "a", &w, NULL);
	rig_write(g, "a", &w, NULL);
	(void)look(g, "regular", 0, 8, v);
	assert_string_equal(v, "--------");
	(void)look(g, "regular_", 1, 2, v);
	assert_string_equal(v, "xx");
	rig_free(g);
}

/* A snapshot's page, a patch, a full resync: what is one unit happens as one. */
static void
test_unit_of_a_patch(void **state)
{
	struct rig *g = rig_open(1);
	Stored__Write w[5], *list[5];
	Stored__CollectionPut c;
	Stored__EventAppend e;
	struct macs snapshot, patch;
	char v[41];
	size_t i;

	for (i = 0; i < 5; i++) {
		stored__write__init(&w[i]);
		list[i] = &w[i];
	}
	/* MACs may come before their collection */
	macs_init(&snapshot, "regular", 3, 1, 4, 's');
	collection_init(&c, "regular", 3);
	w[0].macs_clear = rig_str("regular");
	w[1].macs_put = &snapshot.put;
	w[2].collection_put = &c;
	rig_event_init(&e, "{}", "once");
	w[3].event = &e;
	rig_writes(g, "a", list, 4, NULL);
	assert_int_equal(look(g, "regular", 1, 4, v), 3);
	assert_string_equal(v, "ssss");

	/* a soft failure behind it takes all of the patch with it */
	macs_init(&patch, "regular", 4, 3, 4, 'p');
	w[1].macs_put = &patch.put;
	c.version = 4;
	w[3].event = NULL;
	w[3].sent_take = rig_str("nobody's");
	rig_writes(g, "a", list, 4, "absent");
	assert_int_equal(look(g, "regular", 1, 6, v), 3);
	assert_string_equal(v, "ssss--");
	/* and the unit behind it goes on */
	rig_writes(g, "a", list, 3, NULL);
	assert_int_equal(look(g, "regular", 1, 6, v), 4);
	assert_string_equal(v, "--pppp");

	/* the next sync begins from nothing */
	stored__write__init(&w[0]);
	w[0].collection_delete = rig_str("regular");
	rig_write(g, "a", &w[0], NULL);
	assert_int_equal(look(g, "regular", 1, 6, v), 0);
	assert_string_equal(v, "------");
	rig_write(g, "a", &w[0], NULL); /* absent: success */
	rig_free(g);
}

/* As many as one write may bring, asked for in one request. */
static void
test_many_macs(void **state)
{
	enum {
		N = 16384
	};
	struct rig *g = rig_open(1);
	Stored__MacsPut p = STORED__MACS_PUT__INIT;
	Stored__Mac *mac = calloc(N + 1, sizeof(*mac)),
		    **list = calloc(N + 1, sizeof(Stored__Mac *));
	uint8_t(*index)[32] = calloc(N + 1, 32);
	ProtobufCBinaryData *indexes = calloc(N + 1, sizeof(*indexes));
	Stored__MacsOf of[2] = {STORED__MACS_OF__INIT, STORED__MACS_OF__INIT},
		       *ofs[2] = {&of[0], &of[1]};
	Stored__Write w = STORED__WRITE__INIT;
	Stored__Lookup m = STORED__LOOKUP__INIT;
	const Stored__LookupReply *got;
	struct rig_reply r;
	size_t i;

	for (i = 0; i <= N; i++) {
		stored__mac__init(&mac[i]);
		crypto_generichash(index[i], 32, (uint8_t *)&i, sizeof(i), NULL, 0);
		mac[i].index = mac[i].value = (ProtobufCBinaryData){32, index[i]};
		indexes[i] = mac[i].index;
		list[i] = &mac[i];
	}
	p.collection = rig_str("regular");
	p.macs = list;
	p.n_macs = N + 1;
	w.macs_put = &p;
	rig_write(g, "a", &w, "bad_request");
	p.n_macs = N;
	rig_write(g, "a", &w, NULL);
	of[0].collection = of[1].collection = rig_str("regular");
	of[0].n_indexes = N - 1;
	of[1].n_indexes = 1;
	of[0].indexes = indexes;
	of[1].indexes = indexes + N - 1;
	m.n_macs = 2;
	m.macs = ofs;
	assert_non_null(got = rig_lookup(g, &m, &r));
	for (i = 0; i < N - 1; i++)
		assert_memory_equal(got->macs[0]->values[i].data, index[i], 32);
	assert_memory_equal(got->macs[1]->values[0].data, index[N - 1], 32);
	rig_reply_clear(&r);
	of[1].n_indexes = 2;
	assert_null(rig_lookup(g, &m, &r));
	assert_string_equal(r.code, "bad_request");
	of[1].n_indexes = 1;
	indexes[0].len = 31;
	assert_null(rig_lookup(g, &m, &r));
	assert_string_equal(r.code, "bad_request");
	assert_int_equal(g->lost, 0);
	free(mac);
	free(list);
	free(index);
	free(indexes);
	rig_free(g);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_collections),
	    T(test_macs),
	    T(test_unit_of_a_patch),
	    T(test_many_macs),
	};

	alarm(120 * test_slow());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
