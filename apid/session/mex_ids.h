/* The persisted GraphQL queries that this program asks (protocol page 09, 14.5): the names stay,
 * the ids change with the web client's bundle. */
#ifndef WARD_MEX_IDS_H
#define WARD_MEX_IDS_H

#include <stddef.h>

enum mex_op {
	MEX_TIMELOCK, /* may the account write to new people? */
	MEX_CAPPING,  /* how many new chats it may still begin */
	MEX_OPS
};

struct mex_query {
	const char *name; /* in the bundle */
	const char *id;   /* of the document, as built in */
	const char *root; /* member of data that holds the answer */
};
extern const struct mex_query mex_queries[MEX_OPS];

/* The id to ask with. */
const char *mex_id(enum mex_op op);

#endif
