/* Names of the roles. */
#include "sandbox/role.h"

#include <stdlib.h>

const char *
role_name(enum ward_role r)
{
	static const char *const names[ROLE_COUNT] = {
	    [ROLE_WARD] = "ward",
	    [ROLE_KEYD] = "keyd",
	    [ROLE_NETD] = "netd",
	    [ROLE_STORED] = "stored",
	    [ROLE_APID] = "apid",
	};

	if ((unsigned)r >= ROLE_COUNT)
		abort();
	return (names[r]);
}
