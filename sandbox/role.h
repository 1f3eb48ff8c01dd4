/* The roles, and the fixed descriptor numbers that the parent gives each of them. */
#ifndef WARD_ROLE_H
#define WARD_ROLE_H

enum ward_role {
	ROLE_WARD,
	ROLE_KEYD,
	ROLE_NETD,
	ROLE_STORED,
	ROLE_APID,
	ROLE_COUNT
};

/* 0, 1, 2 are /dev/null in every child. */
enum ward_fd {
	FD_CONTROL = 3, /* socket pair with the parent: fixed fields, sandbox/control.h */
	FD_LOG = 4,     /* pipe to the parent, write end */

	KEYD_FD_APID = 5,
	KEYD_FD_NETD = 6,
	KEYD_FD_STORED = 7,
	KEYD_FD_SECRET = 8, /* the master key or passphrase: read after confinement, then closed */
	KEYD_FD_NEXT_SECRET =
	    9, /* the next one, for a change of keys; empty if none is configured */

	NETD_FD_APID = 5,
	NETD_FD_KEYD = 6,
	NETD_FD_CA = 7, /* CA bundle, read before confinement, then closed */

	STORED_FD_APID = 5,
	STORED_FD_KEYD = 6,
	STORED_FD_DATA = 7, /* the data folder; stored's working folder */

	APID_FD_KEYD = 5,
	APID_FD_NETD = 6,
	APID_FD_STORED = 7,
	APID_FD_LISTEN = 8 /* the API socket, listening */
};

const char *role_name(enum ward_role r); /* "keyd" … */

#endif
