/* What one request reads and writes: load first, then compute on copies, then stage all at once. */
#ifndef WARD_WORK_H
#define WARD_WORK_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "ipc/keyd.pb-c.h"
#include "ipc/stored.pb-c.h"
#include "keyd/core.h"

struct work {
	struct account *account;
	uint32_t generation; /* of the device, by which names begin */
	char name[VAULT_NAME_MAX + 1];
	struct entry **pinned; /* all that was asked for, until the end */
	size_t npinned, cap;
	const char *failed;    /* a kind of record that cannot be read, or NULL */
	struct change *newest; /* not staged yet, each with the one before */
	struct change *kept;   /* the newest one at the last work_keep */
};

void work_clear(struct work *w); /* drops what was not staged, unpins, wipes */

/* --- load: may be run many times; nothing is read or changed but through these. --- */
/* 1: it is there (also when it is known to be absent). 0: not yet. */
int work_need(struct work *w, int domain, const char *name);
/* is_new: it is about to be made, so stored is not asked, unless something is known of it. */
void work_need_or_new(struct work *w, int domain, const char *name, int is_new);
/* The device record into secrets->device, and `generation`: 1 there, 0 not yet, -1 there is none; d
 * = NULL but for 1.
 */
int work_need_device(struct work *w, struct device **d);
/* Ask stored for what is unknown. 1: all is there, 0: not yet, -1: `failed` cannot be read; the
 * next request asks again. */
int work_fetch(struct work *w);

/* --- compute: on what load asked for. --- */
int work_get(
    struct work *w, int domain, const char *name, struct buf *out); /* 1, 0 absent, -1 unreadable */
void work_put(struct work *w, int domain, const char *name, const void *data, size_t len);
/* The same of a buffer, which is wiped. */
void work_put_buf(struct work *w, int domain, const char *name, struct buf *data);
void work_put_prekey(struct work *w, uint32_t id, const void *data, size_t len, int uploaded);
/* expires_s: when stored forgets it, 0 = never. */
void work_put_secret(
    struct work *w, const char *name, const void *data, size_t len, int64_t expires_s);
/* Written again as it is, with the mark that it has. */
void work_put_again(struct work *w, int domain, const char *name, const void *data, size_t len);
void work_delete(struct work *w, int domain, const char *name);
/* What is answered rests on this record: if a unit that wrote it is not finished, it is written
 * again as it is, so that this unit can only be committed after that one. */
void work_rest_on(struct work *w, int domain, const char *name);
/* What was written since work_keep is thrown away, or kept: one item of a request that fails must
 * not leave half of its writes behind. */
void work_discard(struct work *w);
void work_keep(struct work *w);

/* --- stage: seal all that changed, send it to stored. --- */
/* 0, with the number of STAGE frames; -1: too many units are waiting for stored, nothing is staged.
 */
int work_stage(struct work *w, uint64_t unit, uint32_t *stages);

/* --- names of records: "generation/rest", in w->name until the next one. --- */
const char *work_name(struct work *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* … of the session or identity of a Signal address */
const char *work_at(struct work *w, const Keyd__Address *a);

#endif
