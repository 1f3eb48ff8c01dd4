/* What one request reads and writes: load first, then compute on copies, then stage all at once. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/log.h"
#include "keyd/store.h"
#include "keyd/work.h"

/* A new content of an entry, or that it goes. The newest one of an entry hangs on it; `below` is
 * the one before, of an earlier savepoint. */
struct change {
	struct change *before; /* of the request */
	struct entry *entry;
	struct change *below;
	unsigned mark;
	int gone, uploaded;
	struct buf data;
};

void
work_init(struct work *w, struct account *a)
{
	memset(w, 0, sizeof(*w));
	w->account = a;
}

static void
append(struct entry ***list, size_t *n, size_t *cap, struct entry *e)
{
	if (*n == *cap) {
		*cap = *cap == 0 ? 16 : *cap * 2;
		if ((*list = realloc(*list, *cap * sizeof(struct entry *))) == NULL)
			fatalx("out of memory");
	}
	(*list)[(*n)++] = e;
}

static void
unpin_all(struct work *w, struct entry **list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		vault_unpin(w->account->keyd->vault, list[i]);
	free(list);
}

/* ---------------------------------------------------------------- load */

void
work_load_begin(struct work *w)
{
	w->old = w->pinned; /* stays pinned until the new list is */
	w->nold = w->npinned;
	w->pinned = NULL;
	w->npinned = w->cappinned = 0;
	w->nask = 0;
	w->waiting = 0;
	w->failed = NULL;
}

int
work_need(struct work *w, int domain, const char *name)
{
	struct entry *e = vault_pin(w->account->keyd->vault, w->account->number, domain, name);

	append(&w->pinned, &w->npinned, &w->cappinned, e);
	switch (vault_state(e)) {
	case VAULT_HERE:
	case VAULT_ABSENT:
		return 1;
	case VAULT_UNKNOWN:
		vault_asked(e);
		append(&w->ask, &w->nask, &w->capask, e);
		break;
	case VAULT_FAILED:
		w->failed = work_domain_name(domain);
		break;
	case VAULT_ASKED:
	case VAULT_BLOCKED:
		break;
	}
	w->waiting++;
	return 0;
}

int
work_need_device(struct work *w, struct device **out)
{
	struct device *d = &w->account->keyd->secrets->device;
	struct buf plain = BUF_INIT;
	int there;

	*out = d;
	if (!work_need(w, STORED__DOMAIN__DEVICE, "device"))
		return 0;
	if ((there = work_get(w, STORED__DOMAIN__DEVICE, "device", &plain)) == 1 &&
	    device_decode(d, plain.data, plain.len) == -1)
		there = -1;
	buf_clear(&plain);
	if (there == 1)
		return 1;
	sodium_memzero(d, sizeof(*d));
	if (there == -1)
		w->failed = work_domain_name(STORED__DOMAIN__DEVICE);
	return -1;
}

void
work_load_end(struct work *w)
{
	unpin_all(w, w->old, w->nold);
	w->old = NULL;
	w->nold = 0;
	sodium_memzero(&w->account->keyd->secrets->device, sizeof(struct device));
}

void
work_retry(struct work *w)
{
	size_t i;

	for (i = 0; i < w->npinned; i++)
		vault_retry(w->pinned[i]);
}

/* ---------------------------------------------------------------- compute */

/* The entry, which is pinned already: pin and unpin only look it up. */
static struct entry *
entry_of(struct work *w, int domain, const char *name)
{
	struct vault *v = w->account->keyd->vault;
	struct entry *e = vault_pin(v, w->account->number, domain, name);

	if (vault_state(e) != VAULT_HERE && vault_state(e) != VAULT_ABSENT) {
		vault_unpin(v, e); /* not asked for by the load function: a mistake of ours */
		return NULL;
	}
	vault_unpin(v, e);
	return e;
}

int
work_get(struct work *w, int domain, const char *name, struct buf *out)
{
	struct entry *e = entry_of(w, domain, name);
	const struct change *c;

	if (e == NULL)
		return -1;
	if ((c = *vault_entry_change(e)) == NULL)
		return vault_open(w->account->keyd->vault, e, out);
	if (c->gone)
		return 0;
	return buf_put(out, c->data.data, c->data.len) == 0 ? 1 : -1;
}

static struct change *
change_of(struct work *w, int domain, const char *name)
{
	struct entry *e = entry_of(w, domain, name);
	struct change *c;

	if (e == NULL)
		fatalx("a %s record is written that was not loaded", work_domain_name(domain));
	c = *vault_entry_change(e);
	if (c == NULL || c->mark != w->mark) {
		if ((c = calloc(1, sizeof(*c))) == NULL)
			fatalx("out of memory");
		c->entry = e;
		c->below = *vault_entry_change(e);
		c->mark = w->mark;
		*vault_entry_change(e) = c;
		c->before = w->newest;
		w->newest = c;
	}
	buf_reset(&c->data);
	c->gone = c->uploaded = 0;
	return c;
}

void
work_put(struct work *w, int domain, const char *name, const void *data, size_t len)
{
	if (buf_put(&change_of(w, domain, name)->data, data, len) == -1)
		fatalx("out of memory");
}

void
work_put_prekey(struct work *w, const char *name, const void *data, size_t len, int uploaded)
{
	struct change *c = change_of(w, STORED__DOMAIN__PREKEY, name);

	c->uploaded = uploaded;
	if (buf_put(&c->data, data, len) == -1)
		fatalx("out of memory");
}

void
work_delete(struct work *w, int domain, const char *name)
{
	change_of(w, domain, name)->gone = 1;
}

/* The newest one; what hangs on its entry is the one of an earlier savepoint again. */
static void
drop(struct work *w)
{
	struct change *c = w->newest;

	w->newest = c->before;
	*vault_entry_change(c->entry) = c->below;
	buf_clear(&c->data);
	free(c);
}

void
work_discard(struct work *w)
{
	while (w->newest != NULL && w->newest->mark == w->mark)
		drop(w);
}

void
work_keep(struct work *w)
{
	w->mark++;
}

void
work_clear(struct work *w)
{
	while (w->newest != NULL)
		drop(w);
	unpin_all(w, w->pinned, w->npinned);
	free(w->ask);
	sodium_memzero(&w->account->keyd->secrets->device, sizeof(struct device));
	w->pinned = w->ask = NULL;
	w->npinned = w->nask = 0;
}

/* ---------------------------------------------------------------- stage */

int
work_stage(struct work *w, uint64_t unit, uint32_t *stages)
{
	struct vault *v = w->account->keyd->vault;
	struct change *c;
	uint64_t removed;

	*stages = 0;
	store_writes_begin(w->account, unit);
	for (c = w->newest; c != NULL; c = c->before) {
		if (*vault_entry_change(c->entry) != c)
			continue; /* a later item of the request wrote it again */
		removed = vault_entry_version(c->entry);
		if (c->gone && removed == 0)
			continue;
		if (c->gone ? vault_delete(v, c->entry, unit) == -1
			    : vault_put(v, c->entry, unit, c->data.data, c->data.len) == -1) {
			log_errx("account %s: a %s record cannot be staged: too long, or too many "
				 "units are "
				 "waiting for stored",
			    w->account->name, work_domain_name(vault_entry_domain(c->entry)));
			/* what this unit has joined is forgotten; its name is burnt for keyd */
			(void)vault_unit_done(v, w->account->number, unit, 0);
			return -1;
		}
		if (c->gone)
			store_writes_delete(c->entry, removed);
		else
			store_writes_put(c->entry, c->uploaded);
	}
	*stages = store_writes_send();
	return 0;
}

const char *
work_name(char *buf, uint32_t generation, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(buf, VAULT_NAME_MAX + 1, "%u/", generation);

	va_start(ap, fmt);
	/* never cut: an address name is at most 80 bytes, numbers at most 10 */
	(void)vsnprintf(buf + n, (size_t)(VAULT_NAME_MAX + 1 - n), fmt, ap);
	va_end(ap);
	return buf;
}

const char *
work_domain_name(int domain)
{
	static const char *const names[] = {"", "device", "identity", "session", "prekey",
	    "signed prekey", "sender key", "app-state key", "key state"};

	return domain > 0 && domain < (int)(sizeof(names) / sizeof(names[0])) ? names[domain] : "";
}
