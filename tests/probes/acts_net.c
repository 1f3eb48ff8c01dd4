/* Acts on sockets. */
#include "tests/probes/acts.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int
done(long rc)
{
	return (rc == -1 ? errno : 0);
}

static int
try_socket(int domain, int type, int protocol)
{
	return (done(socket(domain, type | SOCK_CLOEXEC, protocol)));
}

int
act_socket_inet(void)
{
	return (try_socket(AF_INET, SOCK_STREAM, 0));
}

int
act_socket_udp(void)
{
	return (try_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
}

int
act_socket_inet6(void)
{
	return (try_socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP));
}

int
act_socket_unix(void)
{
	return (try_socket(AF_UNIX, SOCK_STREAM, 0));
}

int
act_socket_netlink(void)
{
	return (try_socket(AF_NETLINK, SOCK_RAW, 0));
}

int
act_socket_packet(void)
{
	return (try_socket(AF_PACKET, SOCK_RAW, 0));
}

int
act_socket_raw(void)
{
	return (try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

int
act_socket_mptcp(void)
{
	return (try_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP));
}

int
act_socket_vsock(void)
{
	return (try_socket(AF_VSOCK, SOCK_STREAM, 0));
}

int
act_socket_pair(void)
{
	int pair[2];

	return (done(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)));
}

static struct sockaddr_in
local(uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return (sin);
}

int
act_bind_tcp(void)
{
	struct sockaddr_in sin = local(0);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s == -1)
		return (errno);
	return (done(bind(s, (struct sockaddr *)&sin, sizeof(sin))));
}

int
act_listen_unbound(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s == -1)
		return (errno);
	return (done(listen(s, 1)));
}

/* The call alone, on a descriptor that is none: where there is no socket() to begin with. */
int
act_connect_raw(void)
{
	struct sockaddr_in sin = local(1);

	return (done(connect(-1, (struct sockaddr *)&sin, sizeof(sin))));
}

static int
connect_tcp(uint16_t port)
{
	struct sockaddr_in sin = local(port);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s == -1)
		return (errno);
	return (done(connect(s, (struct sockaddr *)&sin, sizeof(sin))));
}

int
act_connect_open_port(void)
{
	return (connect_tcp(fix.open_port));
}

int
act_connect_closed_port(void)
{
	return (connect_tcp(fix.closed_port));
}

/* A connection by sendto, which no connect hook sees. */
int
act_fastopen_closed_port(void)
{
	struct sockaddr_in sin = local(fix.closed_port);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s == -1)
		return (errno);
	return (done(sendto(s, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&sin, sizeof(sin))));
}

int
act_connect_udp(void)
{
	struct sockaddr_in sin = local(9);
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (s == -1)
		return (errno);
	return (done(connect(s, (struct sockaddr *)&sin, sizeof(sin))));
}

static int
connect_unix(const char *name, size_t len)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	if (s == -1)
		return (errno);
	memcpy(sun.sun_path, name, len);
	return (done(connect(s, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len))));
}

int
act_connect_abstract(void)
{
	char name[40] = "";

	memcpy(name + 1, fix.abstract, strlen(fix.abstract));
	return (connect_unix(name, strlen(fix.abstract) + 1));
}

int
act_connect_named(void)
{
	return (connect_unix(fix.named, strlen(fix.named) + 1));
}

int
act_accept_client(void)
{
	return (done(accept4(APID_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)));
}

int
act_accept_other(void)
{
	return (done(accept4(APID_FD_KEYD, NULL, NULL, SOCK_CLOEXEC)));
}

int
act_peer_of_client(void)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return (done(getsockopt(APID_FD_KEYD, SOL_SOCKET, SO_PEERCRED, &cred, &len)));
}

int
act_sendmsg_channel(void)
{
	char byte = 'x';
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return (done(sendmsg(5, &msg, MSG_NOSIGNAL | MSG_DONTWAIT)));
}

int
act_sendmsg_fastopen(void)
{
	char byte = 'x';
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return (done(sendmsg(-1, &msg, MSG_FASTOPEN)));
}
