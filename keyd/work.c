/* What one request reads and writes: load first, then compute on copies, then stage all at once. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "common/log.h"
#include "keyd/store.h"
#include "keyd/work.h"

/* A new content of an entry, or that it goes. The newest one of an entry hangs on it. */
struct change {
	struct change *before; /* of the request */
	struct change *below;  /* of the entry */
	struct entry *entry;
	int gone, uploaded; /* uploaded -1: as it is */
	int64_t expires_s;  /* of a message secret; -1: as it is */
	struct buf data;
};

/* For messages. */
static const char *
kind_of(int domain)
{
	static const char *const names[] = {"", "device", "identity", "session", "prekey",
	    "signed prekey", "sender key", "app-state key", "key state", "message secret"};

	return names[domain];
}

/* ---------------------------------------------------------------- load */

int
work_need(struct work *w, int domain, const char *name)
{
	struct entry *e = vault_pin(w->account->keyd->vault, w->account->number, domain, name);

	if (w->npinned == w->cap) {
		struct entry **grown;

		w->cap = w->cap == 0 ? 16 : w->cap * 2;
		if ((grown = realloc(w->pinned, w->cap * sizeof(struct entry *))) == NULL)
			fatalx("out of memory");
		w->pinned = grown;
	}
	w->pinned[w->npinned++] = e;
	return e->state == VAULT_HERE || e->state == VAULT_ABSENT;
}

void
work_need_or_new(struct work *w, int domain, const char *name, int is_new)
{
	(void)work_need(w, domain, name);
	if (is_new)
		vault_assume_absent(w->pinned[w->npinned - 1]);
}

int
work_need_device(struct work *w, struct device **out)
{
	struct device *d = &w->account->keyd->secrets->device;
	struct buf plain = BUF_INIT;
	int there;

	*out = NULL;
	if (!work_need(w, STORED__DOMAIN__DEVICE, "device"))
		return 0;
	if ((there = work_get(w, STORED__DOMAIN__DEVICE, "device", &plain)) == 1 &&
	    device_decode(d, plain.data, plain.len) == -1)
		there = -1;
	buf_clear(&plain);
	if (there == 1) {
		*out = d;
		w->generation = d->generation;
	}
	if (there == -1)
		w->failed = kind_of(STORED__DOMAIN__DEVICE);
	return there == 1 ? 1 : -1;
}

int
work_fetch(struct work *w)
{
	size_t i;
	int all = 1;

	store_fetch(w->account, w->pinned, w->npinned);
	for (i = 0; i < w->npinned; i++) {
		if (w->pinned[i]->state == VAULT_FAILED)
			w->failed = kind_of(w->pinned[i]->domain);
		all &= w->pinned[i]->state == VAULT_HERE || w->pinned[i]->state == VAULT_ABSENT;
	}
	if (w->failed == NULL)
		return all;
	for (i = 0; i < w->npinned; i++)
		vault_retry(w->pinned[i]);
	return -1;
}

/* ---------------------------------------------------------------- compute */

/* The entry, which is pinned already: pin and unpin only look it up. NULL: not loaded, a mistake of
 * ours. */
static struct entry *
entry_of(struct work *w, int domain, const char *name)
{
	struct vault *v = w->account->keyd->vault;
	struct entry *e = vault_pin(v, w->account->number, domain, name);
	int there = e->state == VAULT_HERE || e->state == VAULT_ABSENT;

	vault_unpin(v, e);
	return there ? e : NULL;
}

int
work_get(struct work *w, int domain, const char *name, struct buf *out)
{
	struct entry *e = entry_of(w, domain, name);

	if (e == NULL)
		return -1;
	if (e->change == NULL)
		return vault_open(w->account->keyd->vault, e, out);
	if (e->change->gone)
		return 0;
	return buf_put(out, e->change->data.data, e->change->data.len) == 0 ? 1 : -1;
}

static struct change *
change(struct work *w, int domain, const char *name, const void *data, size_t len)
{
	struct entry *e = entry_of(w, domain, name);
	struct change *c = calloc(1, sizeof(*c));

	if (e == NULL)
		fatalx("a %s record is written that was not loaded", kind_of(domain));
	if (c == NULL || buf_put(&c->data, data, len) == -1)
		fatalx("out of memory");
	c->entry = e;
	c->below = e->change;
	c->before = w->newest;
	e->change = w->newest = c;
	return c;
}

void
work_put(struct work *w, int domain, const char *name, const void *data, size_t len)
{
	(void)change(w, domain, name, data, len);
}

void
work_put_buf(struct work *w, int domain, const char *name, struct buf *data)
{
	if (data->failed)
		fatalx("out of memory");
	work_put(w, domain, name, data->data, data->len);
	buf_clear(data);
}

void
work_put_prekey(struct work *w, uint32_t id, const void *data, size_t len, int uploaded)
{
	change(w, STORED__DOMAIN__PREKEY, work_name(w, "%u", id), data, len)->uploaded = uploaded;
}

void
work_put_again(struct work *w, int domain, const char *name, const void *data, size_t len)
{
	struct change *c = change(w, domain, name, data, len);

	c->uploaded = -1;
	c->expires_s = -1;
}

void
work_put_secret(struct work *w, const char *name, const void *data, size_t len, int64_t expires_s)
{
	change(w, STORED__DOMAIN__MSG_SECRET, name, data, len)->expires_s = expires_s;
}

void
work_delete(struct work *w, int domain, const char *name)
{
	change(w, domain, name, "", 0)->gone = 1;
}

void
work_rest_on(struct work *w, int domain, const char *name)
{
	const struct entry *e = entry_of(w, domain, name);
	struct buf b = BUF_INIT;

	if (e != NULL && e->pending > 0 && e->change == NULL && work_get(w, domain, name, &b) == 1)
		work_put_again(w, domain, name, b.data, b.len);
	buf_clear(&b);
}

void
work_discard(struct work *w)
{
	struct change *c;

	while ((c = w->newest) != w->kept) {
		w->newest = c->before;
		c->entry->change = c->below;
		buf_clear(&c->data);
		free(c);
	}
}

void
work_keep(struct work *w)
{
	w->kept = w->newest;
}

void
work_clear(struct work *w)
{
	w->kept = NULL;
	work_discard(w);
	while (w->npinned > 0)
		vault_unpin(w->account->keyd->vault, w->pinned[--w->npinned]);
	free(w->pinned);
	sodium_memzero(&w->account->keyd->secrets->device, sizeof(struct device));
}

/* ---------------------------------------------------------------- stage */

int
work_stage(struct work *w, uint64_t unit, uint32_t *stages)
{
	struct vault *v = w->account->keyd->vault;
	struct change *c;
	uint64_t removed;

	store_stage_begin(w->account, unit);
	for (c = w->newest; c != NULL; c = c->before) {
		removed = c->gone ? c->entry->version : 0;
		if (c->entry->change != c || (c->gone && removed == 0))
			continue; /* written again by a later change, or never there */
		/* only the first one can fail: it joins the unit */
		if (c->gone ? vault_delete(v, c->entry, unit) == -1
			    : vault_put(v, c->entry, unit, c->data.data, c->data.len) == -1) {
			log_errx(
			    "account %s: too many units are waiting for stored", w->account->name);
			return -1;
		}
		store_stage(c->entry, removed, c->uploaded, c->expires_s);
	}
	*stages = store_stage_end();
	return 0;
}

const char *
work_name(struct work *w, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(w->name, sizeof(w->name), "%u/", w->generation);

	va_start(ap, fmt);
	/* never cut: an address name is at most 80 bytes, numbers at most 10 */
	(void)vsnprintf(w->name + n, sizeof(w->name) - (size_t)n, fmt, ap);
	va_end(ap);
	return w->name;
}

const char *
work_at(struct work *w, const Keyd__Address *a)
{
	return work_name(w, "%s:%u", a->name, a->device);
}
