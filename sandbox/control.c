/* The parent's channel: packets of fixed fields, checked before anything is believed. */
#include "sandbox/control.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "sandbox/role.h"

static void
put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t
get32(const uint8_t *p)
{
	return ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

/* What a payload of that type may measure; 0 = no such type. */
static int
type_bounds(unsigned type, size_t *min, size_t *max)
{
	*min = 0;
	switch (type) {
	case CONTROL_BOOT:
		*min = CONTROL_BOOT_FIXED;
		*max = CONTROL_BOOT_FIXED + CONTROL_TEXT_MAX;
		return (1);
	case CONTROL_READY:
		*min = 1;
		*max = CONTROL_REPORT_MAX;
		return (1);
	case CONTROL_GO:
		*max = CONTROL_TEXT_MAX;
		return (1);
	case CONTROL_STOP:
		*max = 0;
		return (1);
	case CONTROL_INCIDENT:
		*min = 1;
		*max = CONTROL_INCIDENT_MAX;
		return (1);
	default:
		return (0);
	}
}

int
control_decode(
    const void *packet, size_t len, unsigned allowed, struct control_msg *out, const char **why)
{
	const uint8_t *p = packet;
	unsigned type;
	size_t min, max, n;

	*why = "shorter than its header";
	if (len < CONTROL_HEADER)
		return (-1);
	*why = "wrong magic";
	if (get32(p) != CONTROL_MAGIC)
		return (-1);
	*why = "another protocol version";
	if ((p[4] << 8 | p[5]) != CONTROL_VERSION)
		return (-1);
	type = (unsigned)p[6] << 8 | p[7];
	*why = "unknown message type";
	if (!type_bounds(type, &min, &max))
		return (-1);
	*why = "message type not allowed now";
	if ((allowed & CONTROL_MAY(type)) == 0)
		return (-1);
	n = get32(p + 8);
	*why = "payload too short or too long for its type";
	if (n < min || n > max)
		return (-1);
	*why = "length field disagrees with the packet";
	if (n != len - CONTROL_HEADER)
		return (-1);
	*why = "NUL in a text";
	if (type != CONTROL_BOOT && memchr(p + CONTROL_HEADER, '\0', n) != NULL)
		return (-1);
	*why = NULL;
	out->type = (enum control_type)type;
	out->payload = p + CONTROL_HEADER;
	out->len = n;
	return (0);
}

int
control_send(int fd, enum control_type type, const void *payload, size_t len)
{
	uint8_t head[CONTROL_HEADER];
	struct iovec iov[2];
	struct msghdr msg;
	size_t min, max;
	ssize_t n;

	if (!type_bounds(type, &min, &max) || len < min || len > max) {
		errno = EMSGSIZE;
		return (-1);
	}
	put32(head, CONTROL_MAGIC);
	put32(head + 4, (uint32_t)CONTROL_VERSION << 16 | (uint32_t)type);
	put32(head + 8, (uint32_t)len);
	iov[0].iov_base = head;
	iov[0].iov_len = sizeof(head);
	iov[1].iov_base = (void *)(uintptr_t)payload; /* sendmsg only reads it */
	iov[1].iov_len = len;
	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = iov;
	msg.msg_iovlen = len > 0 ? 2 : 1;
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	return (n == -1 ? -1 : 0);
}

enum control_status
control_recv(int fd, int flags, void *buf, size_t size, unsigned allowed, struct control_msg *out,
    const char **why)
{
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr msg;
	ssize_t n;

	*why = NULL;
	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	do {
		n = recvmsg(fd, &msg, flags);
	} while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return (CONTROL_AGAIN);
	if (n == 0 || (n == -1 && errno == ECONNRESET))
		return (CONTROL_EOF);
	if (n == -1) {
		*why = "socket error";
		return (CONTROL_BROKEN);
	}
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		*why = "too long, or with a descriptor";
		return (CONTROL_BROKEN);
	}
	if (control_decode(buf, (size_t)n, allowed, out, why) == -1)
		return (CONTROL_BROKEN);
	return (CONTROL_OK);
}

uint8_t *
control_boot_pack(const struct control_boot *b, size_t *len)
{
	uint8_t *p;

	if (b->config_len > CONTROL_TEXT_MAX)
		return (NULL);
	if ((p = malloc(CONTROL_BOOT_FIXED + b->config_len)) == NULL)
		return (NULL);
	put32(p, b->role);
	put32(p + 4, b->flags);
	put32(p + 8, b->uid);
	put32(p + 12, b->gid);
	put32(p + 16, b->parent);
	put32(p + 20, b->log_level);
	put32(p + 24, (uint32_t)b->config_len);
	if (b->config_len > 0)
		memcpy(p + CONTROL_BOOT_FIXED, b->config, b->config_len);
	*len = CONTROL_BOOT_FIXED + b->config_len;
	return (p);
}

int
control_boot_unpack(const struct control_msg *m, struct control_boot *out, const char **why)
{
	const uint8_t *p = m->payload;

	*why = "no boot message";
	if (m->type != CONTROL_BOOT || m->len < CONTROL_BOOT_FIXED)
		return (-1);
	out->role = get32(p);
	out->flags = get32(p + 4);
	out->uid = get32(p + 8);
	out->gid = get32(p + 12);
	out->parent = get32(p + 16);
	out->log_level = get32(p + 20);
	out->config = (const char *)p + CONTROL_BOOT_FIXED;
	out->config_len = get32(p + 24);
	*why = "no such role";
	if (out->role <= ROLE_WARD || out->role >= ROLE_COUNT)
		return (-1);
	*why = "unknown flags";
	if ((out->flags & ~CONTROL_BOOT_FLAGS) != 0)
		return (-1);
	*why = "root as the user of a child";
	if ((out->flags & CONTROL_AS_ROOT) != 0 && (out->uid == 0 || out->gid == 0))
		return (-1);
	*why = "no parent";
	if (out->parent == 0 || out->parent > INT32_MAX)
		return (-1);
	*why = "no such log level";
	if (out->log_level > LOG_LV_DEBUG)
		return (-1);
	*why = "length of the config disagrees";
	if (out->config_len != m->len - CONTROL_BOOT_FIXED)
		return (-1);
	*why = "NUL in the config";
	if (memchr(out->config, '\0', out->config_len) != NULL)
		return (-1);
	*why = NULL;
	return (0);
}
