/* Who may do what: [roles] of the config against the peer credentials of a connection. */
#ifndef WARD_ACCESS_H
#define WARD_ACCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/config.h"

/* Read [roles] and resolve user: and group: names. Opens /etc/passwd and the like, so apid's main
 * calls it after child_boot and before child_confine, while geteuid() is still that of the parent:
 * root and that uid have all roles from the start. A rule that makes no sense is fatal. */
void rpc_access_init(const struct config *c);
void access_reset(void); /* forget all rules, for tests */

/* The roles (bits API_*, apid/rpc/api_table.h) of a peer. */
unsigned access_roles(uid_t uid, const gid_t *gids, size_t ngids);

/* The kernel's word for who is at the other end of a connected Unix socket. 0, or -1 with errno. */
struct peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;      /* for the log only */
	unsigned roles; /* of uid, gid and the supplementary groups */
};
int access_peer(int fd, struct peer *out);

#endif
