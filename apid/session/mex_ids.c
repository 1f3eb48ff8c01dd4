/* The persisted GraphQL queries: name, id and root of the answer, and nothing else. */
#include "apid/session/mex_ids.h"

const struct mex_query mex_queries[MEX_OPS] = {
    [MEX_TIMELOCK] = {"WAWebMexFetchReachoutTimelockJobQuery", "23983697327930364",
	"xwa2_fetch_account_reachout_timelock"},
    [MEX_CAPPING] = {"WAWebMexFetchNewChatMessageCappingInfoJobQuery", "27910975521856601",
	"xwa2_message_capping_info"},
};

const char *
mex_id(enum mex_op op)
{
	return mex_queries[op].id;
}
