/* What each operation of a store costs, and how much of it is the encryption: the SQLCipher backend
 * beside the same code on plain SQLite, in turns. Databases are plain only in this program, which
 * stands between the backend and sqlite3_key_v2 (the linker's --wrap). */
#include <sys/stat.h>

#include <sqlcipher/sqlite3.h>

#include "common/log.h"
#include "tests/bench/bench.h"
#include "tests/bench/stored_ops.h"

#define SLICES      4 /* turns of each kind */
#define SLICE_US    60000
#define PREPARE     128 /* runs that are prepared at once */
#define SAMPLES_MAX 200000

static int plain; /* databases that are opened now get no key */

int __real_sqlite3_key_v2(sqlite3 *sql, const char *name, const void *key, int len);
int __wrap_sqlite3_key_v2(sqlite3 *sql, const char *name, const void *key, int len);

int
__wrap_sqlite3_key_v2(sqlite3 *sql, const char *name, const void *key, int len)
{
	return plain ? SQLITE_OK : __real_sqlite3_key_v2(sql, name, key, len);
}

/* What was measured of an operation in one way. */
struct result {
	uint64_t runs; /* operations */
	int64_t us;
	uint32_t *sample; /* of each unit of work */
	size_t nsamples;
};

static void
must(enum store_status st, const char *what)
{
	if (st != STORE_OK)
		errx(1, "%s: %s", what, store_status_word(st));
}

static struct store_db *
open_db(enum store_kind kind, const char *account)
{
	static const uint8_t key[STORE_KEY_LEN] = {1};
	int64_t budget = 0;
	struct store_open o = {
	    .kind = kind, .account = account, .key = key, .check_budget_ms = &budget};
	struct store_db *db;

	if (store_sqlcipher.open(&o, &db) != STORE_OK)
		errx(1, "%s", o.text);
	return db;
}

/* ---------------------------------------------------------------- one operation */

static void
unit(struct place *p, const struct op *op, int n, struct result *out)
{
	struct store_db *db = op->service ? p->service : p->db;
	int64_t began = now_us();
	int i;

	if (op->write)
		must(p->b->begin(db), "begin");
	else if ((p->r = region_new(REGION_MAX)) == NULL)
		errx(1, "no memory");
	for (i = 0; i < n; i++)
		must(op->run(p), op->name);
	if (op->write)
		must(p->b->commit(db), "commit");
	else
		region_free(p->r);
	if (out->nsamples < SAMPLES_MAX)
		out->sample[out->nsamples++] = (uint32_t)(now_us() - began);
	out->runs += (uint64_t)n;
	out->us += now_us() - began;
}

static void
prepare(struct place *p, const struct op *op, size_t n)
{
	must(p->b->begin(p->db), "begin");
	must(op->prepare(p, n), op->name);
	must(p->b->commit(p->db), "commit");
}

/* Units of n operations for a while; what they leave to be written back is theirs. */
static void
slice(struct place *p, const struct op *op, int n, struct result *out)
{
	int64_t until = out->us + SLICE_US, began;
	size_t ready = 0;

	do {
		if (op->prepare != NULL && ready < (size_t)n)
			prepare(p, op, ready = PREPARE);
		ready -= (size_t)n;
		unit(p, op, n, out);
	} while (out->us < until);
	began = now_us();
	must(p->b->tidy(op->service ? p->service : p->db, 0), "tidy");
	out->us += now_us() - began;
	p->gone = p->made; /* those that were prepared for nothing stay */
}

static double
rate(const struct result *r)
{
	return (double)r->runs / ((double)r->us / 1e6);
}

static double
p99_ms(struct result *r)
{
	const size_t slow = r->nsamples * 99 / 100;

	qsort(r->sample, r->nsamples, sizeof(*r->sample), by_size);
	return r->sample[slow] / 1e3;
}

static void
print(struct result *sealed, struct result *open)
{
	printf("  %8.0f %7.3f %8.0f %7.3f  %5.2f", rate(sealed), p99_ms(sealed), rate(open),
	    p99_ms(open), rate(sealed) / rate(open));
}

static void
measure(struct place places[2], const struct op *op)
{
	static uint32_t samples[2][2][SAMPLES_MAX];
	struct result r[2][2] = {{{0}}}; /* single, batched; encrypted, plain */
	const int batch = op->batch > 1;
	int s, k, way;

	places[0].n = places[1].n = 0; /* reads find what the class before them wrote */
	for (s = 0; s < SLICES; s++) {
		for (k = 0; k <= batch; k++) {
			for (way = 0; way < 2; way++) {
				r[k][way].sample = samples[k][way];
				slice(&places[way], op, k ? op->batch : 1, &r[k][way]);
			}
		}
	}
	printf("%-17s", op->name);
	print(&r[0][0], &r[0][1]);
	if (batch)
		print(&r[1][0], &r[1][1]);
	printf("\n");
	fflush(stdout);
}

/* ---------------------------------------------------------------- all of them */

/* The sessions that the others lie among. */
static void
fill(struct place *p)
{
	char name[64];
	uint64_t i;

	must(p->b->begin(p->db), "begin");
	for (i = 0; i < SESSIONS; i++)
		must(put_record(p, STORED__DOMAIN__SESSION, text_of(name, "1/", i), ++p->version[i],
			 SESSION_LEN),
		    "fill");
	must(p->b->commit(p->db), "commit");
	must(p->b->tidy(p->db, 1), "tidy");
}

/* The service's database has one name: each way gets a folder. */
static void
open_place(struct place *p, const char *folder)
{
	if (mkdir(folder, 0700) == -1 || chdir(folder) == -1)
		err(1, "%s", folder);
	p->b = &store_sqlcipher;
	p->db = open_db(STORE_ACCOUNT, folder);
	p->service = open_db(STORE_SERVICE, NULL);
	fill(p);
	if (chdir("..") == -1)
		err(1, "..");
}

static void
close_place(struct place *p, const char *folder)
{
	char file[64];

	if (chdir(folder) == -1)
		err(1, "%s", folder);
	p->b->close(p->db);
	p->b->close(p->service);
	snprintf(file, sizeof(file), "account-%s.db", folder);
	unlink(file);
	unlink("service.db");
	if (chdir("..") == -1 || rmdir(folder) == -1)
		warn("%s", folder);
}

int
main(int argc, char **argv)
{
	static struct place places[2];
	const char *folder = argc > 1 ? argv[1] : "/var/tmp";
	char dir[256];
	size_t i;

	log_set_level(LOG_LV_WARN);
	snprintf(dir, sizeof(dir), "%s/stored-ops-XXXXXX", folder);
	if (sodium_init() == -1 || mkdtemp(dir) == NULL || chdir(dir) == -1)
		err(1, "%s", dir);
	randombytes_buf(noise, sizeof(noise));
	noise[0] = '{';
	if (store_sqlcipher.start() == -1)
		errx(1, "libraries did not start");
	open_place(&places[0], "sealed");
	plain = 1;
	open_place(&places[1], "plain");
	printf("disk: %.0f syncs/s of a page: a unit of work is one sync\n\n", disk_rate());
	printf("%-17s  %-40s  %s\n", "", "one a unit of work", "100 a unit of work");
	printf("%-17s  %16s %16s  %5s  %16s %16s  %5s\n", "", "encrypted", "plain", "ratio",
	    "encrypted", "plain", "ratio");
	printf("%-17s  %8s %7s %8s %7s  %5s  %8s %7s %8s %7s  %5s\n", "", "ops/s", "p99 ms",
	    "ops/s", "p99 ms", "", "ops/s", "p99 ms", "ops/s", "p99 ms", "");
	for (i = 0; i < NOPS; i++)
		measure(places, &ops[i]);
	close_place(&places[0], "sealed");
	close_place(&places[1], "plain");
	if (chdir("/") == -1 || rmdir(dir) == -1)
		warn("%s", dir);
	return 0;
}
