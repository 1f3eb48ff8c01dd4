/* privacy.tokens_issue, tokens_list and tokens_prune. */
#include "apid/rpc/methods.h"

void
method_privacy_tokens_issue(struct request *rq)
{
	const json_t *list = json_object_get(rq->params, "parties");
	const char *parties[API_PARTIES_MAX] = {NULL}; /* the most that the table allows */
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++)
		parties[i] = json_string_value(json_array_get(list, i));
	privacy_tokens_issue(rq->account, rq->token, parties, n, request_engine_said, rq);
}

void
method_privacy_tokens_list(struct request *rq)
{
	privacy_tokens_list(rq->account, rq->token, request_str(rq, "after"),
	    (unsigned)request_int(rq, "limit", 64), request_engine_said, rq);
}

void
method_privacy_tokens_prune(struct request *rq)
{
	privacy_tokens_prune(rq->account, rq->token, request_engine_said, rq);
}
