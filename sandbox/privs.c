/* Root, identity, capabilities, and what keeps a process from ever getting more. */
#include "sandbox/sandbox.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static int
fail(char *err, const char *what)
{
	snprintf(err, SANDBOX_ERR, "%s: %s", what, strerror(errno));
	return (-1);
}

static int
failx(char *err, const char *what)
{
	snprintf(err, SANDBOX_ERR, "%s", what);
	return (-1);
}

/* The folder that the parent made the working folder: owned by root or by the role, empty for all
 * but stored and netd. */
int
privs_root(uid_t uid, struct sandbox_state *out, char *err)
{
	char name[sizeof(out->root)];
	ssize_t n = readlink("/proc/self/cwd", name, sizeof(name) - 1);
	struct stat st, top;

	snprintf(out->root, sizeof(out->root), "%.*s", n > 0 ? (int)n : 1, n > 0 ? name : "?");
	if (stat(".", &st) == -1 || stat("/", &top) == -1)
		return (fail(err, "cannot see the folder to be confined to"));
	if (st.st_dev == top.st_dev && st.st_ino == top.st_ino)
		return (failx(err, "the folder to be confined to is the system's root"));
	if (st.st_uid != 0 && st.st_uid != uid)
		return (failx(err, "the folder to be confined to belongs to somebody else"));
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return (failx(err, "the folder to be confined to is writable by others"));
	if (chroot(".") == -1)
		return (fail(err, "chroot"));
	if (chdir("/") == -1)
		return (fail(err, "chdir to the new root"));
	return (0);
}

/* Nothing of the old identity may be left, and root must be out of reach for good. */
static int
identity_proved(uid_t uid, gid_t gid, char *err)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) == -1 || getresgid(&rg, &eg, &sg) == -1)
		return (fail(err, "cannot read the identity back"));
	if (r != uid || e != uid || s != uid || rg != gid || eg != gid || sg != gid ||
	    getgroups(0, NULL) != 0)
		return (failx(err, "the kernel kept a part of the old identity"));
	if (setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0)
		return (failx(err, "root could be regained"));
	if (setgid(0) == 0 || setegid(0) == 0)
		return (failx(err, "the root group could be regained"));
	return (0);
}

int
privs_identity(uid_t uid, gid_t gid, char *err)
{
	if (uid == 0 || gid == 0)
		return (failx(err, "root is no identity for a confined process"));
	if (setgroups(0, NULL) == -1)
		return (fail(err, "setgroups"));
	if (setresgid(gid, gid, gid) == -1)
		return (fail(err, "setresgid"));
	if (setresuid(uid, uid, uid) == -1)
		return (fail(err, "setresuid"));
	return (identity_proved(uid, gid, err));
}

static int
caps_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};

	return ((int)syscall(SYS_capget, &head, data));
}

static int
caps_set(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
	struct __user_cap_data_struct data[2];

	memset(data, 0, sizeof(data));
	data[0].effective = data[0].permitted = (uint32_t)keep;
	data[1].effective = data[1].permitted = (uint32_t)(keep >> 32);
	return ((int)syscall(SYS_capset, &head, data));
}

/* With CAP_SETPCAP: empty the bounding set but for `keep` and lock root's special treatment away.
 * Without it the service manager's bounding set is the limit. */
static int
drop_bounding(uint64_t keep, char *err)
{
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
				   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
				   SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	struct __user_cap_data_struct data[2];
	unsigned long cap;

	if (caps_get(data) == -1)
		return (fail(err, "capget"));
	if ((data[0].effective & (1u << CAP_SETPCAP)) == 0)
		return (0);
	for (cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if ((keep >> cap & 1) != 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return (fail(err, "cannot drop a capability from the bounding set"));
	}
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) == -1)
		return (fail(err, "cannot lock the secure bits"));
	return (0);
}

int
privs_bounding(char *err)
{
	return (drop_bounding(0, err));
}

/* Capabilities that are held must be a subset of keep and, where they were held before, equal to
 * it. */
int
privs_drop_caps(uint64_t keep, char *err)
{
	struct __user_cap_data_struct data[2];
	uint64_t held, inherited;

	if (caps_get(data) == -1)
		return (fail(err, "capget"));
	keep &= data[0].permitted | (uint64_t)data[1].permitted << 32;
	if (drop_bounding(keep, err) == -1)
		return (-1);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1)
		return (fail(err, "cannot clear the ambient capabilities"));
	if (caps_set(keep) == -1)
		return (fail(err, "capset"));
	if (caps_get(data) == -1)
		return (fail(err, "capget"));
	held = (data[0].permitted | data[0].effective) |
	       (uint64_t)(data[1].permitted | data[1].effective) << 32;
	inherited = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	if (held != keep || inherited != 0)
		return (failx(err, "the kernel kept capabilities that were dropped"));
	return (0);
}

/* After the change of uid: that clears it. */
int
privs_die_with(pid_t parent, char *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return (fail(err, "PR_SET_PDEATHSIG"));
	if (getppid() != parent)
		return (failx(err, "the parent is gone"));
	return (0);
}

int
privs_lock(char *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return (fail(err, "no_new_privs"));
	/* Linux 6.3: no memory that was writable ever becomes executable. Older kernels say EINVAL;
	 * the filter refuses executable mappings there as here. */
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == -1 && errno != EINVAL &&
	    errno != EPERM)
		return (fail(err, "PR_SET_MDWE"));
	/* exec and setresuid change it, so it comes last and is read back */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return (fail(err, "PR_SET_DUMPABLE"));
	return (0);
}
