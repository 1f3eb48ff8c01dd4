/* The parent's own channel to each child: a few messages of plain fixed fields, one a packet. */
#ifndef WARD_CONTROL_H
#define WARD_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A packet of a SOCK_SEQPACKET pair: magic u32, version u16, type u16, length u32 (of what
 * follows), all big-endian, then the payload. A packet is a whole message: nothing is ever kept
 * half read. */
#define CONTROL_MAGIC   0x57415244u /* "WARD" */
#define CONTROL_VERSION 1
#define CONTROL_HEADER  12

#define CONTROL_TEXT_MAX     (128u * 1024) /* config text, and the report for apid */
#define CONTROL_REPORT_MAX   (16u * 1024)  /* the report of one child */
#define CONTROL_INCIDENT_MAX 512u
#define CONTROL_BOOT_FIXED   28u
#define CONTROL_PACKET_MAX   (CONTROL_HEADER + CONTROL_BOOT_FIXED + CONTROL_TEXT_MAX)

enum control_type {
	CONTROL_BOOT = 1,  /* parent -> child, first: struct control_boot */
	CONTROL_READY = 2, /* child -> parent, once: report text */
	CONTROL_GO = 3,    /* parent -> child, once: report text for apid, empty for the others */
	CONTROL_STOP = 4,  /* parent -> child: finish and exit 0 */
	CONTROL_INCIDENT =
	    5 /* child -> parent: a peer broke the contract; text says which and how */
};

/* For `allowed`: the set of types that may come now. */
#define CONTROL_MAY(type) (1u << (type))

struct control_msg {
	enum control_type type;
	const uint8_t *payload; /* inside the buffer that was given */
	size_t len;
};

/* Check one packet. 0 and *out (pointing into `packet`), or -1 and *why. Every size is bounded by
 * its type; text is checked to hold no NUL. */
int control_decode(
    const void *packet, size_t len, unsigned allowed, struct control_msg *out, const char **why);

/* Send one message: 0, or -1 with errno (EMSGSIZE when the payload is larger than its type allows).
 * Never blocks when the socket does not; never raises SIGPIPE. */
int control_send(int fd, enum control_type type, const void *payload, size_t len);

enum control_status {
	CONTROL_OK,
	CONTROL_AGAIN,
	CONTROL_EOF,
	CONTROL_BROKEN /* *why says how */
};
/* Receive one message into buf (CONTROL_PACKET_MAX bytes is enough for all). Descriptors are never
 * taken: a packet that carries one is broken. flags: MSG_DONTWAIT or 0. */
enum control_status control_recv(int fd, int flags, void *buf, size_t size, unsigned allowed,
    struct control_msg *out, const char **why);

/* BOOT: what a child must know before it reads anything else. */
#define CONTROL_UNCONFINED        1u /* developer flag: no confinement */
#define CONTROL_AS_ROOT           2u /* chroot into the working folder, change uid and gid */
#define CONTROL_LANDLOCK_OPTIONAL 4u /* go on, with a warning, where the kernel has no Landlock */
#define CONTROL_BOOT_FLAGS        7u

struct control_boot {
	uint32_t role; /* enum ward_role, checked against the program's own */
	uint32_t flags;
	uint32_t uid, gid;  /* for CONTROL_AS_ROOT; never 0 then */
	uint32_t parent;    /* pid: the child dies with it */
	uint32_t log_level; /* enum log_level */
	const char *config; /* text, not NUL-terminated */
	size_t config_len;
};
/* Malloc'd payload for CONTROL_BOOT; NULL when memory is out or the text is too long. */
uint8_t *control_boot_pack(const struct control_boot *b, size_t *len);
int control_boot_unpack(const struct control_msg *m, struct control_boot *out, const char **why);

#endif
