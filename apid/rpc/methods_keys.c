/* The methods of keys: how they stand at the service, renewing them, and sessions. */
#include "apid/rpc/methods.h"

void
method_keys_status(struct request *rq)
{
	keys_status(rq->account, rq->token, request_engine_said, rq);
}

void
method_keys_upload(struct request *rq)
{
	keys_upload(rq->account, rq->token, request_engine_said, rq);
}

void
method_keys_rotate_signed(struct request *rq)
{
	keys_rotate_signed(rq->account, rq->token, request_engine_said, rq);
}

void
method_session_list(struct request *rq)
{
	session_list(rq->account, rq->token, request_str(rq, "party"), request_engine_said, rq);
}

void
method_session_check(struct request *rq)
{
	session_check(rq->account, rq->token, request_str(rq, "party"), request_engine_said, rq);
}

void
method_session_repair(struct request *rq)
{
	session_repair(rq->account, rq->token, request_str(rq, "party"), request_engine_said, rq);
}
