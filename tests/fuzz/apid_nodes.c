/* Fuzz: stanzas of the service into all that reads them without asking anybody: device lists,
 * prekey bundles, verdicts, envelopes, acks, receipts, calls, presences; and plaintexts of others
 * into the message contents. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apid/message/bundle.h"
#include "apid/message/call_parse.h"
#include "apid/message/content.h"
#include "apid/message/envelope.h"
#include "apid/message/ids.h"
#include "apid/message/receipt_parse.h"
#include "apid/rpc/cursor.h"
#include "apid/session/devices.h"
#include "apid/session/presence_parse.h"
#include "apid/session/privacy.h"
#include "apid/session/stanza.h"
#include "apid/session/verdict.h"

#define LOG_ID "9f3c0a1b"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct account account;
static struct device_list list;

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
read_devices(const struct node *n)
{
	if (devices_from_user(n, &list) == -1)
		return;
	must(list.n <= DEVICES_MAX && list.user[0] != '\0');
	for (size_t i = 0; i < list.n; i++)
		for (size_t k = i + 1; k < list.n; k++)
			must(list.ids[i] != list.ids[k]);
}

static void
read_bundle(const struct node *n)
{
	struct bundle b;
	struct bundle_pb pb;

	if (bundle_read(n, node_child(n, "registration"), &b) == 0) {
		must(b.registration_id != 0 && b.skey_id < 1u << 24 && b.key_id < 1u << 24);
		bundle_fill(&b, &pb);
	}
	bundle_clear(&b);
}

static void
read_stanza(const struct node *n)
{
	struct verdict v;
	struct envelope e;
	struct buf out = BUF_INIT;
	struct node *ack;

	verdict_failure(n, 1800000000000, &v);
	must(v.reason[0] != '\0' && v.user_action != NULL);
	verdict_stream_error(n, 40, &v);
	must(v.reason[0] != '\0' && v.user_action != NULL);
	if (envelope_parse(&account, n, &e) == 0)
		must(message_id_ok(e.id) && e.from.user[0] != '\0' && e.chat.device == 0);
	if ((ack = stanza_ack_new(&account, n, 487)) != NULL)
		must(node_encode(ack, &out) == 0);
	node_free(ack);
	buf_clear(&out);
}

static void
read_receipt(const struct node *n)
{
	struct receipt_facts f;

	must(receipt_parse(&account, n, 1000, &f) == 0);
	must(f.nupdates <= RECEIPT_UPDATES_MAX && f.nparties <= RECEIPT_UPDATES_MAX);
	must((f.kind == RECEIPT_STATUS || f.kind == RECEIPT_OWN) == (f.nupdates > 0));
	for (size_t i = 0; i < f.nupdates; i++) {
		must(f.updates[i].party < f.nparties && message_id_ok(f.updates[i].id));
		must(i == 0 || f.updates[i].party >= f.updates[i - 1].party);
	}
	for (size_t i = 0; i < f.nparties; i++)
		must(f.parties[i].jid.user[0] != '\0' && f.parties[i].jid.device == 0);
	receipt_facts_clear(&f);
}

static void
read_moment(const struct node *n)
{
	struct presence_facts p;
	struct typing_facts t;
	struct call_facts c;

	if (presence_parse(&account, n, &p) == 0)
		must(p.from.user[0] != '\0' && !account_is_own(&account, &p.from));
	if (typing_parse(&account, n, &t) == 0)
		must(!account_is_own(&account, &t.party) && t.party.device == 0);
	call_parse(&account, n, &c);
	must(c.kind == CALL_UNKNOWN ||
	     (c.id[0] != '\0' && c.from.user[0] != '\0' && c.action != NULL));
	(void)privacy_read_receipts(n);
}

static void
walk(const struct node *n)
{
	read_stanza(n);
	read_receipt(n);
	read_moment(n);
	read_devices(n);
	read_bundle(n);
	for (size_t i = 0; i < n->nchildren; i++)
		walk(n->children[i]);
}

static void
fuzz_node(const uint8_t *data, size_t size)
{
	struct node *n = node_decode(data, size, NULL);

	if (n != NULL)
		walk(n);
	node_free(n);
}

/* What a message becomes is JSON that can be written, and its copy for own devices parses too. */
static void
fuzz_content(const uint8_t *data, size_t size)
{
	struct pb_arena *arena = pb_arena_new(CONTENT_BUDGET);
	int64_t n = content_unpad(data, size);
	const E2e__Message *m;
	const char *why;
	uint8_t *copy;
	size_t len;
	json_t *v;
	char *text;

	must(arena != NULL && n <= (int64_t)size);
	m = content_parse(data, n >= 0 ? (size_t)n : size, arena, &why);
	if (m != NULL && (m = content_unwrap(m)) != NULL) {
		(void)content_is_silent(m);
		v = content_json(m);
		must(v != NULL && json_is_string(json_object_get(v, "kind")));
		text = json_dumps(v, JSON_COMPACT);
		must(text != NULL);
		free(text);
		json_decref(v);
	}
	copy = content_device_sent(data, size, "15550001111@s.whatsapp.net", &len);
	must(copy == NULL || content_parse(copy, len, arena, &why) != NULL);
	free(copy);
	pb_arena_free(arena);
}

static void
fuzz_cursor(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), printed[CURSOR_TEXT_MAX];
	uint64_t seq;

	must(text != NULL);
	if (cursor_parse(text, LOG_ID, &seq) == 0)
		must(strcmp(cursor_format(LOG_ID, seq, printed), text) == 0);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy; /* so that reading one byte too far is seen */

	if (size == 0 || (copy = malloc(size > 1 ? size - 1 : 1)) == NULL)
		return 0;
	memcpy(copy, data + 1, size - 1);
	account.dev.has_jid = jid_parse("15550001111:3@s.whatsapp.net", &account.dev.jid) == 0;
	account.dev.has_lid = jid_parse("100000000000001:3@lid", &account.dev.lid) == 0;
	switch (data[0] % 3) {
	case 0:
		fuzz_node(copy, size - 1);
		break;
	case 1:
		fuzz_content(copy, size - 1);
		break;
	default:
		fuzz_cursor(copy, size - 1);
	}
	free(copy);
	return 0;
}
