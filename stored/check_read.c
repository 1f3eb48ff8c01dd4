/* Shapes: what apid asks for. */
#include "stored/check.h"
#include "stored/shape.h"

#define JIDS_MAX        64
#define GROUPS_MAX      64
#define COLLECTIONS_MAX 16
#define INDEXES_MAX     16384
#define BASE_KEYS_MAX   64
#define TOKENS_MAX      256
#define PENDING_MAX     64
#define SCAN_MAX        1000
#define AFTER_MAX       256

/* An empty one is nobody's, which is an answer as well. */
static const char *
check_jids(char *const *jids, size_t n, size_t max)
{
	size_t i;

	if (n > max)
		return "lookup: too many JIDs";
	for (i = 0; i < n; i++) {
		if (!shape_optional(jids[i], JID_TEXT_MAX))
			return "lookup: a JID is too long";
	}
	return NULL;
}

static const char *
check_app_state(const Stored__Lookup *m)
{
	const char *why = NULL;
	size_t i, k, n = 0;

	if (m->n_collections > COLLECTIONS_MAX || m->n_macs > COLLECTIONS_MAX)
		return "lookup: too many collections";
	for (i = 0; why == NULL && i < m->n_collections; i++)
		why = check_collection_name(m->collections[i]);
	for (i = 0; why == NULL && i < m->n_macs; i++) {
		why = check_collection_name(m->macs[i]->collection);
		n += m->macs[i]->n_indexes;
		for (k = 0; k < m->macs[i]->n_indexes; k++) {
			if (m->macs[i]->indexes[k].len != 32)
				return "lookup: a MAC's index has 32 bytes";
		}
	}
	return why == NULL && n > INDEXES_MAX ? "lookup: too many MACs" : why;
}

const char *
check_lookup(const Stored__Lookup *m)
{
	const char *why;
	size_t i;

	if ((why = check_jids(m->jids, m->n_jids, JIDS_MAX)) != NULL ||
	    (why = check_jids(m->groups, m->n_groups, GROUPS_MAX)) != NULL ||
	    (why = check_jids(m->tokens, m->n_tokens, TOKENS_MAX)) != NULL ||
	    (why = check_app_state(m)) != NULL)
		return why;
	if (m->n_base_keys > BASE_KEYS_MAX || m->n_pending > PENDING_MAX)
		return "lookup: too many base keys or pending stanzas";
	for (i = 0; why == NULL && i < m->n_base_keys; i++)
		why = check_base_key(m->base_keys[i]);
	for (i = 0; why == NULL && i < m->n_pending; i++)
		why = check_message_name(m->pending[i]);
	return why;
}

const char *
check_scan(const Stored__Scan *m)
{
	if (m->table < STORED__TABLE__CONTACTS || m->table > STORED__TABLE__PENDINGS)
		return "scan: unknown table";
	if (m->limit < 1 || m->limit > SCAN_MAX)
		return "scan: limit is out of range";
	return shape_optional(m->after, AFTER_MAX) ? NULL : "scan: after is too long";
}

const char *
check_consumer_name(const char *name)
{
	return shape_text(name, 1, 64) && shape_chars(name, "._-") ? NULL : "consumer: name";
}
