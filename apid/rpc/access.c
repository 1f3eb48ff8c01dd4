/* Who may do what: the rules of [roles], names resolved once, against the kernel's credentials. */
#include <sys/socket.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apid/rpc/access.h"
#include "apid/rpc/api_table.h"
#include "common/log.h"

struct rule {
	int group; /* id is a gid */
	uint32_t id;
	unsigned roles;
};

static struct rule *rules;
static size_t nrules;

void
access_reset(void)
{
	free(rules);
	rules = NULL;
	nrules = 0;
}

static void
rule_add(int group, uint32_t id, unsigned roles)
{
	struct rule *more = reallocarray(rules, nrules + 1, sizeof(*rules));

	if (more == NULL)
		fatalx("roles: out of memory");
	rules = more;
	rules[nrules++] = (struct rule){group, id, roles};
}

static int
parse_id(const char *text, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || v >= UINT32_MAX)
		return -1;
	*out = (uint32_t)v;
	return 0;
}

/* "uid:1000", "gid:100", "user:NAME", "group:NAME" -> who it is */
static void
parse_who(const char *key, int *group, uint32_t *id)
{
	const char *name = strchr(key, ':');
	const struct passwd *pw;
	const struct group *gr;

	if (name == NULL)
		fatalx("roles: %s: must be uid:, gid:, user: or group: and who it is", key);
	name++;
	*group = key[0] == 'g';
	if (strncmp(key, "uid:", 4) == 0 || strncmp(key, "gid:", 4) == 0) {
		if (parse_id(name, id) == -1)
			fatalx("roles: %s: not a number of a user or group", key);
	} else if (strncmp(key, "user:", 5) == 0) {
		if ((pw = getpwnam(name)) == NULL)
			fatalx("roles: %s: there is no such user", key);
		*id = pw->pw_uid;
	} else if (strncmp(key, "group:", 6) == 0) {
		if ((gr = getgrnam(name)) == NULL)
			fatalx("roles: %s: there is no such group", key);
		*id = gr->gr_gid;
	} else {
		fatalx("roles: %s: must be uid:, gid:, user: or group: and who it is", key);
	}
}

static unsigned
parse_roles(const char *key, const char *value)
{
	static const char blank[] = " \t,";
	unsigned roles = 0, one;

	for (const char *p = value + strspn(value, blank); *p != '\0'; p += strspn(p, blank)) {
		size_t n = strcspn(p, blank);

		if ((one = api_role_parse(p, n)) == 0)
			fatalx("roles: %s: no role is called \"%.*s\"", key, (int)n, p);
		roles |= one;
		p += n;
	}
	if (roles == 0)
		fatalx("roles: %s: names no role", key);
	/* who may read content may see states */
	return roles & API_READ ? roles | API_OBSERVE : roles;
}

void
rpc_access_init(const struct config *c)
{
	access_reset();
	rule_add(0, 0, API_ANY);
	if (geteuid() != 0)
		rule_add(0, geteuid(), API_ANY);
	for (size_t i = 0; i < config_role_count(c); i++) {
		const char *key = config_role_key(c, i);
		uint32_t id = 0;
		int group = 0;

		parse_who(key, &group, &id);
		rule_add(group, id, parse_roles(key, config_role_value(c, i)));
	}
}

unsigned
access_roles(uid_t uid, const gid_t *gids, size_t ngids)
{
	unsigned roles = 0;

	for (size_t i = 0; i < nrules; i++) {
		if (!rules[i].group) {
			if (rules[i].id == uid)
				roles |= rules[i].roles;
			continue;
		}
		for (size_t g = 0; g < ngids; g++)
			if (rules[i].id == gids[g]) {
				roles |= rules[i].roles;
				break;
			}
	}
	return roles;
}

int
access_peer(int fd, struct peer *out)
{
	gid_t some[64], *gids = some;
	socklen_t len = sizeof(some) - sizeof(gid_t);
	struct ucred cred;
	socklen_t cred_len = sizeof(cred);
	int r = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == -1)
		return -1;
	/* one place is kept for the primary group, which the list need not hold */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, some, &len) == -1) {
		if (errno == ENODATA) { /* no supplementary group at all */
			len = 0;
		} else if (errno == ERANGE) { /* len now says how much it takes */
			if ((gids = malloc((size_t)len + sizeof(gid_t))) == NULL)
				return -1;
			if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &len) == -1)
				goto done;
		} else {
			goto done;
		}
	}
	gids[len / sizeof(gid_t)] = cred.gid;
	out->uid = cred.uid;
	out->gid = cred.gid;
	out->pid = cred.pid;
	out->roles = access_roles(cred.uid, gids, len / sizeof(gid_t) + 1);
	r = 0;
done:
	if (gids != some)
		free(gids);
	return r;
}
