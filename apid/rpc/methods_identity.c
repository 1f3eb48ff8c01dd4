/* identity.list, safety_number, verify, decide. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "apid/rpc/methods.h"

static void
ask(struct request *rq, enum identity_what what, struct identity_request *m)
{
	m->party = request_str(rq, "party");
	m->uid = rq->client->peer.uid;
	identity_ask(rq->account, rq->token, what, m, request_engine_said, rq);
}

void
method_identity_list(struct request *rq)
{
	struct identity_request m = {
	    .after = request_str(rq, "after"), .limit = (unsigned)request_int(rq, "limit", 100)};

	ask(rq, IDENTITY_LIST, &m);
}

void
method_identity_safety_number(struct request *rq)
{
	struct identity_request m = {0};

	ask(rq, IDENTITY_SAFETY_NUMBER, &m);
}

void
method_identity_verify(struct request *rq)
{
	const char *qr = request_str(rq, "qr_b64");
	struct identity_request m = {.digits = request_str(rq, "digits")};
	size_t max = qr == NULL ? 0 : strlen(qr);
	uint8_t *bytes = NULL;

	if ((qr == NULL) == (m.digits == NULL)) {
		request_error(rq, -32602, "params", "either digits or qr_b64", "digits");
		return;
	}
	if (qr != NULL) {
		if ((bytes = malloc(max + 1)) == NULL ||
		    sodium_base642bin(bytes, max + 1, qr, max, NULL, &m.qr_len, NULL,
			sodium_base64_VARIANT_ORIGINAL) != 0 ||
		    m.qr_len == 0) {
			free(bytes);
			request_error(rq, -32602, "params", "must be base64", "qr_b64");
			return;
		}
		m.qr = bytes;
	}
	ask(rq, IDENTITY_VERIFY, &m);
	free(bytes);
}

void
method_identity_decide(struct request *rq)
{
	struct identity_request m = {0};

	ask(rq, strcmp(request_str(rq, "decision"), "trust") == 0 ? IDENTITY_TRUST : IDENTITY_HOLD,
	    &m);
}
