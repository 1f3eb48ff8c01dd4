/* Protocol domain: people, and how their phone number and LID find together.
 *
 * A contact is a person: a stable id, at most one PN and one LID, and each PN and LID belongs to at
 * most one contact. What a put says about its PN and LID is newer than what is stored.
 *
 * The row that a put is about is found in this order: the contact of its LID, the contact of its
 * id, the contact of its PN; else it is new. The LID comes first because a number changes hands and
 * a LID does not. Then every other row that the put names is settled:
 *  - one without a LID of its own was the same person all along: its PN and name go to the target,
 * it is deleted, and its id lives on as an alias;
 *  - one with another LID is another person: it only gives up the PN.
 * An id that was deleted, or that a put brought for a person who was known under another id, still
 * finds that person. */
#include <stdio.h>
#include <string.h>

#include "common/jid.h"
#include "stored/sqlcipher/db.h"

/* A row as far as merging needs it. */
struct person {
	int64_t row; /* 0 = none */
	int has_lid;
};

static enum store_status
find(struct store_db *db, struct sql *q, const char *text, struct person *out)
{
	enum store_status st;
	sqlite3_stmt *s;
	int row = 0;

	memset(out, 0, sizeof(*out));
	if (text == NULL)
		return STORE_OK;
	if ((s = db_stmt(db, q, &st)) == NULL)
		return st;
	db_bind_text(s, 1, text);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row) {
		out->row = sqlite3_column_int64(s, 0);
		out->has_lid = sqlite3_column_int(s, 1);
	}
	db_done(s);
	return st;
}

static enum store_status
find_id(struct store_db *db, const char *id, struct person *out)
{
	static struct sql own = SQL("SELECT row, lid IS NOT NULL FROM contact WHERE id = ?1");
	static struct sql alias = SQL("SELECT c.row, c.lid IS NOT NULL FROM contact_alias a"
				      " JOIN contact c ON c.row = a.contact WHERE a.id = ?1");
	enum store_status st = find(db, &own, id, out);

	return st == STORE_OK && out->row == 0 ? find(db, &alias, id, out) : st;
}

static enum store_status
find_lid(struct store_db *db, const char *lid, struct person *out)
{
	static struct sql q = SQL("SELECT row, 1 FROM contact WHERE lid = ?1");

	return find(db, &q, lid, out);
}

static enum store_status
find_pn(struct store_db *db, const char *pn, struct person *out)
{
	static struct sql q = SQL("SELECT row, lid IS NOT NULL FROM contact WHERE pn = ?1");

	return find(db, &q, pn, out);
}

/* Run a statement whose parameters are up to two rows. */
static enum store_status
run_rows(struct store_db *db, struct sql *q, int64_t a, int64_t b)
{
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, a);
	if (b != 0)
		sqlite3_bind_int64(s, 2, b);
	return db_run(db, s);
}

/* `from` turned out to be the same person as `to`. */
static enum store_status
merge(struct store_db *db, int64_t from, int64_t to)
{
	static struct sql clear = SQL("UPDATE contact SET pn = NULL WHERE row = ?1");
	static struct sql fill =
	    SQL("UPDATE contact SET pn = ifnull(contact.pn, ?3),"
		" push_name = ifnull(contact.push_name, old.push_name),"
		" created_ms = min(contact.created_ms, old.created_ms),"
		" first_out_ms = coalesce(min(contact.first_out_ms, old.first_out_ms),"
		"  contact.first_out_ms, old.first_out_ms),"
		" met_ms = coalesce(min(contact.met_ms, old.met_ms), contact.met_ms, old.met_ms)"
		" FROM contact AS old WHERE old.row = ?1 AND contact.row = ?2");
	static struct sql pn = SQL("SELECT pn FROM contact WHERE row = ?1");
	static struct sql move = SQL("UPDATE contact_alias SET contact = ?2 WHERE contact = ?1");
	static struct sql leave = SQL("INSERT OR REPLACE INTO contact_alias(id, contact)"
				      " SELECT id, ?2 FROM contact WHERE row = ?1");
	static struct sql drop = SQL("DELETE FROM contact WHERE row = ?1");
	char number[JID_USER_MAX + 1] = "";
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &pn, &st);
	int row = 0;

	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, from);
	st = db_step(db, s, &row);
	if (st == STORE_OK && row && sqlite3_column_text(s, 0) != NULL)
		snprintf(number, sizeof(number), "%s", (const char *)sqlite3_column_text(s, 0));
	db_done(s);
	/* first let go of the number: it is unique */
	if (st != STORE_OK || (st = run_rows(db, &clear, from, 0)) != STORE_OK)
		return st;
	if ((s = db_stmt(db, &fill, &st)) == NULL)
		return st;
	sqlite3_bind_int64(s, 1, from);
	sqlite3_bind_int64(s, 2, to);
	db_bind_text(s, 3, number[0] != '\0' ? number : NULL);
	if ((st = db_run(db, s)) != STORE_OK || (st = run_rows(db, &move, from, to)) != STORE_OK ||
	    (st = run_rows(db, &leave, from, to)) != STORE_OK)
		return st;
	return run_rows(db, &drop, from, 0);
}

static enum store_status
give_up_pn(struct store_db *db, int64_t row)
{
	static struct sql q = SQL("UPDATE contact SET pn = NULL WHERE row = ?1");

	return run_rows(db, &q, row, 0);
}

static enum store_status
insert(struct store_db *db, const Stored__Contact *c, int64_t now_ms, int64_t *row)
{
	static struct sql q =
	    SQL("INSERT INTO contact(id, created_ms, changed_ms) VALUES(?1, ?2, ?2)");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, c->id);
	sqlite3_bind_int64(s, 2, now_ms);
	st = db_run(db, s);
	*row = sqlite3_last_insert_rowid(db->sql);
	return st;
}

static enum store_status
set_fields(struct store_db *db, int64_t row, const Stored__Contact *c, int64_t now_ms)
{
	static struct sql q =
	    SQL("UPDATE contact SET pn = ifnull(?2, pn), lid = ifnull(?3, lid),"
		" push_name = ifnull(?4, push_name), lid_source = ifnull(?5, lid_source),"
		" changed_ms = ?6,"
		" first_out_ms = coalesce(min(first_out_ms, ?7), first_out_ms, ?7),"
		" met_ms = coalesce(min(met_ms, ?8), met_ms, ?8) WHERE row = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	sqlite3_bind_int64(s, 1, row);
	db_bind_text(s, 2, c->pn);
	db_bind_text(s, 3, c->lid);
	db_bind_text(s, 4, c->push_name);
	db_bind_text(s, 5, c->lid_source);
	sqlite3_bind_int64(s, 6, now_ms);
	if (c->has_first_out_ms)
		sqlite3_bind_int64(s, 7, c->first_out_ms);
	if (c->has_met_ms)
		sqlite3_bind_int64(s, 8, c->met_ms);
	return db_run(db, s);
}

/* The put's own id, if it is not a contact's, becomes another name of the target. */
static enum store_status
alias(struct store_db *db, const char *id, int64_t row)
{
	static struct sql q =
	    SQL("INSERT INTO contact_alias(id, contact) SELECT ?1, ?2 WHERE NOT EXISTS"
		" (SELECT 1 FROM contact WHERE id = ?1)"
		" ON CONFLICT(id) DO UPDATE SET contact = excluded.contact");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);

	if (s == NULL)
		return st;
	db_bind_text(s, 1, id);
	sqlite3_bind_int64(s, 2, row);
	return db_run(db, s);
}

/* A row that the put named beside the target: the same person, or one who loses the number. */
static enum store_status
settle(struct store_db *db, const struct person *other, int64_t target, int owns_pn)
{
	if (other->row == 0 || other->row == target)
		return STORE_OK;
	if (!other->has_lid)
		return merge(db, other->row, target);
	return owns_pn ? give_up_pn(db, other->row) : STORE_OK;
}

enum store_status
contacts_put(struct store_db *db, const Stored__Contact *c, int64_t now_ms)
{
	struct person by_id, by_lid, by_pn;
	enum store_status st;
	int64_t target;

	if ((st = find_id(db, c->id, &by_id)) != STORE_OK ||
	    (st = find_lid(db, c->lid, &by_lid)) != STORE_OK ||
	    (st = find_pn(db, c->pn, &by_pn)) != STORE_OK)
		return st;
	/* A number's contact that has a LID counts before an id that has none, as a LID's would. */
	if (by_lid.row == 0 && c->lid == NULL && by_pn.has_lid && !by_id.has_lid)
		by_lid = by_pn;
	target = by_lid.row != 0 ? by_lid.row : by_id.row;
	if (target == 0 && by_pn.row != 0 && (!by_pn.has_lid || c->lid == NULL))
		target = by_pn.row;
	if (target == 0 && (st = insert(db, c, now_ms, &target)) != STORE_OK)
		return st;
	/* The id's row first: it may be the number's as well. */
	if ((st = settle(db, &by_id, target, by_id.row == by_pn.row)) != STORE_OK)
		return st;
	if (by_pn.row != by_id.row && (st = settle(db, &by_pn, target, 1)) != STORE_OK)
		return st;
	if ((st = set_fields(db, target, c, now_ms)) != STORE_OK)
		return st;
	return alias(db, c->id, target);
}

/* ---------------------------------------------------------------- lookup */

void
contacts_of_row(sqlite3_stmt *s, int col, struct region *r, Stored__Contact *out)
{
	stored__contact__init(out);
	out->id = db_text(s, col, r);
	out->pn = db_text(s, col + 1, r);
	out->lid = db_text(s, col + 2, r);
	out->push_name = db_text(s, col + 3, r);
	out->lid_source = db_text(s, col + 4, r);
	out->has_created_ms = out->has_changed_ms = 1;
	out->created_ms = sqlite3_column_int64(s, col + 5);
	out->changed_ms = sqlite3_column_int64(s, col + 6);
	out->has_first_out_ms = sqlite3_column_type(s, col + 7) != SQLITE_NULL;
	out->first_out_ms = sqlite3_column_int64(s, col + 7);
	out->has_met_ms = sqlite3_column_type(s, col + 8) != SQLITE_NULL;
	out->met_ms = sqlite3_column_int64(s, col + 8);
}

static enum store_status
contact_of(struct store_db *db, int64_t row, struct region *r, Stored__Contact **out)
{
	static struct sql q = SQL("SELECT " CONTACT_COLUMNS " FROM contact WHERE row = ?1");
	enum store_status st;
	sqlite3_stmt *s = db_stmt(db, &q, &st);
	int got = 0;

	*out = NULL;
	if (s == NULL || row == 0)
		return s == NULL ? st : STORE_OK;
	sqlite3_bind_int64(s, 1, row);
	st = db_step(db, s, &got);
	if (st == STORE_OK && got && (*out = region_alloc(r, sizeof(**out))) != NULL)
		contacts_of_row(s, 0, r, *out);
	db_done(s);
	return st == STORE_OK && region_failed(r) ? STORE_NO_MEMORY : st;
}

static enum store_status
list_of(struct store_db *db, const char *user, const char *server, struct region *r,
    Stored__DeviceList **out)
{
	char text[JID_TEXT_MAX];

	snprintf(text, sizeof(text), "%s@%s", user, server);
	return devices_get(db, text, r, out);
}

enum store_status
contacts_lookup(struct store_db *db, const char *jid, struct region *r, Stored__Peer *out)
{
	struct person who = {0, 0};
	struct jid j;
	int is_jid = jid_parse(jid, &j) == 0, is_lid = is_jid && jid_is_lid(&j);
	const char *pn = is_jid && !is_lid ? j.user : NULL, *lid = is_lid ? j.user : NULL;
	enum store_status st;

	if (!is_jid || j.user[0] == '\0')
		st = find_id(db, jid, &who);
	else if (is_lid)
		st = find_lid(db, j.user, &who);
	else if (jid_is_pn(&j))
		st = find_pn(db, j.user, &who);
	else
		return STORE_OK; /* a group or a list: no peer */
	if (st != STORE_OK || (st = contact_of(db, who.row, r, &out->contact)) != STORE_OK)
		return st;
	if (out->contact != NULL) {
		pn = out->contact->pn;
		lid = out->contact->lid;
	}
	/* device lists are known by JID, also of people who are no contact yet */
	if (pn != NULL && (st = list_of(db, pn, JID_PN, r, &out->by_pn)) != STORE_OK)
		return st;
	return lid != NULL ? list_of(db, lid, JID_LID, r, &out->by_lid) : STORE_OK;
}
