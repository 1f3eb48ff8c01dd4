/* Fuzz target: what decodes must encode, and decode again to the same tree. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
same(const struct node *a, const struct node *b)
{
	size_t i;

	must(strcmp(a->tag, b->tag) == 0 && a->nattrs == b->nattrs);
	must(a->has_bytes == b->has_bytes && a->nbytes == b->nbytes);
	must(a->nbytes == 0 || memcmp(a->bytes, b->bytes, a->nbytes) == 0);
	must(a->nchildren == b->nchildren && (!a->has_bytes || a->nchildren == 0));
	for (i = 0; i < a->nattrs; i++) {
		const struct node_attr *x = &a->attrs[i], *y = &b->attrs[i];

		must(strcmp(x->key, y->key) == 0 && strcmp(x->text, y->text) == 0);
		must(x->is_jid == y->is_jid);
		must(!x->is_jid ||
		     (jid_eq(&x->jid, &y->jid) && x->jid.integrator == y->jid.integrator));
	}
	for (i = 0; i < a->nchildren; i++)
		same(a->children[i], b->children[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf out = BUF_INIT, text = BUF_INIT;
	struct node_fault fault;
	struct node *n = node_decode(data, len, &fault), *again;

	must((n != NULL) == (fault.error == NODE_OK));
	if (n == NULL)
		return 0;
	node_describe(n, &text);
	node_dump(n, &text);
	must(node_encode(n, &out) == 0);
	again = node_decode(out.data, out.len, NULL);
	must(again != NULL);
	same(n, again);
	node_free(n);
	node_free(again);
	buf_clear(&out);
	buf_clear(&text);
	return 0;
}
