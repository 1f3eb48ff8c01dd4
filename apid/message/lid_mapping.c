/* The phone's list of numbers and their LIDs: learned as a whole, in the unit of its message. */
#include "apid/message/lid_mapping.h"

#include <inttypes.h>
#include <stdio.h>

#include "apid/message/contacts.h"
#include "apid/session/props.h"
#include "common/log.h"
#include "common/pb.h"

#define BUDGET (4u * 1024 * 1024)
#define SOURCE "migration_sync_latest"

/* Into the store in any case: whether the contact is in the cache is chance. */
static void
write_pair(struct account *a, struct unit *u, char *pn, char *lid)
{
	Stored__Contact m = STORED__CONTACT__INIT;
	char id[STABLE_ID_LEN + 1], source[] = SOURCE;
	struct person p;
	struct jid j;

	contacts_learn_pair(a, pn, lid, SOURCE);
	if (jid_make(&j, lid, JID_LID, 0) == -1)
		return;
	if (contacts_cached(a, &j, &p) == 0)
		(void)snprintf(id, sizeof(id), "%s", p.id);
	else
		stable_id_new(id, 'u'); /* of one who is known it becomes another name */
	m.id = id;
	m.pn = pn;
	m.lid = lid;
	m.lid_source = source;
	unit_contact(u, &m);
}

static void
take_all(struct account *a, struct unit *u, const E2e__LIDMigrationMappingSyncPayload *all)
{
	size_t n = all->n_pn_to_lid_mappings < LID_MAPPINGS_MAX ? all->n_pn_to_lid_mappings
								: LID_MAPPINGS_MAX;
	char pn[24], lid[24];

	for (size_t i = 0; i < n; i++) {
		const E2e__LIDMigrationMapping *m = all->pn_to_lid_mappings[i];
		uint64_t to =
		    m->has_latest_lid && m->latest_lid != 0 ? m->latest_lid : m->assigned_lid;

		if (m->pn == 0 || to == 0)
			continue;
		(void)snprintf(pn, sizeof(pn), "%" PRIu64, m->pn);
		(void)snprintf(lid, sizeof(lid), "%" PRIu64, to);
		write_pair(a, u, pn, lid);
	}
	log_notice("account %s: the phone told %zu pairs of number and LID", a->name, n);
}

int
lid_mapping_take(struct account *a, struct unit *u, const E2e__ProtocolMessage *p)
{
	const E2e__LIDMigrationMappingSyncMessage *s = p->lid_migration_mapping_sync_message;
	Stored__DeviceRecord rec = STORED__DEVICE_RECORD__INIT;
	const E2e__LIDMigrationMappingSyncPayload *all;
	struct pb_arena *arena;

	if (s == NULL || !s->has_encoded_mapping_payload || (arena = pb_arena_new(BUDGET)) == NULL)
		return 0;
	all = pb_unpack(&e2e__lidmigration_mapping_sync_payload__descriptor,
	    s->encoded_mapping_payload.data, s->encoded_mapping_payload.len, arena, 0, NULL);
	if (all == NULL) {
		pb_arena_free(arena);
		return 0; /* it is told raw */
	}
	take_all(a, u, all);
	pb_arena_free(arena);
	if (props_int(a, PROPS_LID_MIGRATION) > 0) {
		rec.has_lid_migrated = rec.lid_migrated = 1;
		unit_device(u, &rec);
	}
	return 1;
}

void
lid_mapping_committed(struct account *a)
{
	if (props_int(a, PROPS_LID_MIGRATION) > 0)
		a->rec.lid_migrated = 1;
}
