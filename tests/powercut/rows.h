/* The table of operations that the units of the run write, one file a domain. A new operation of
 * the backend is one entry more. */
#ifndef WARD_POWERCUT_ROWS_H
#define WARD_POWERCUT_ROWS_H

#include "tests/powercut/writes.h"

enum presence {
	ABSENT,
	THERE,
	WRONG /* there, but not as it was written */
};

enum row_kind {
	OWN,    /* of the unit alone */
	LATEST, /* each takes the place of the one before; told of the last one only */
	EVENT,  /* goes with retention of events */
	AGING   /* goes with what is too old */
};

enum {
	ROW_DEVICE = 1,
	ROW_RATCHET = 2
};

struct row {
	const char *name;      /* NULL ends a table */
	unsigned every, first; /* the units `first`, `first` + `every`, ... write it */
	unsigned life;         /* the unit so many later takes it away again; 0 = for good */
	enum row_kind kind;
	unsigned of;   /* AGING: it is about what the unit wrote that is so many before */
	unsigned goes; /* ROW_DEVICE: with the device record; ROW_RATCHET: with a restore */
	enum store_status (*put)(struct store_db *db, unsigned u);
	enum store_status (*drop)(struct store_db *db, unsigned u); /* NULL: something else does */
	/* NULL: nothing can be asked, and only the digest tells */
	enum presence (*have)(struct store_db *db, struct region *r, unsigned u);
};

extern const struct row rows_signal[];
extern const struct row rows_device[]; /* and people */
extern const struct row rows_groups[];
extern const struct row rows_appsync[];
extern const struct row rows_events[];
extern const struct row rows_outbox[];

/* In static memory, good until the fourth call after it. */
char *rows_name(const char *form, unsigned u);
/* The bytes of a unit: other ones for each tag, as of sealed records. Good until the fourth call
 * after it. */
ProtobufCBinaryData rows_bytes(unsigned u, unsigned tag, size_t len);
size_t rows_len(unsigned u, unsigned most);
enum presence rows_same(const ProtobufCBinaryData *got, unsigned u, unsigned tag, size_t len);

#endif
