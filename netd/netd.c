/* netd: the process that alone reaches the network; keeps one link an account, moves opaque
 * stanzas. */
#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sodium.h>

#include "common/buf.h"
#include "common/log.h"
#include "netd/link.h"
#include "netd/netd.h"
#include "sandbox/child.h"

#define CA_MAX  (8u * 1024 * 1024)
#define STOP_MS 1500 /* to end all connections in order, once the service stops */

static struct netd nd;
static struct child child;

/* The whole bundle, before the sandbox; the descriptor is closed. It stays for the life of the
 * process. */
static void
read_ca(struct settings *s)
{
	static struct buf ca;
	ssize_t n;

	ca.max = CA_MAX;
	do {
		uint8_t *to = buf_reserve(&ca, 32768);

		if (to == NULL)
			fatalx("CA bundle: more than %u bytes", CA_MAX);
		n = read(NETD_FD_CA, to, 32768);
		ca.len -= n > 0 ? 32768 - (size_t)n : 32768;
	} while (n > 0 || (n == -1 && errno == EINTR));
	if (n == -1)
		fatal("CA bundle");
	(void)close(NETD_FD_CA);
	if (memmem(ca.data, ca.len, "-----BEGIN CERTIFICATE-----", 27) == NULL)
		fatalx("CA bundle: no certificate in it; see network.ca_file");
	s->ca = ca.data;
	s->ca_len = ca.len;
}

/* What the libraries would load, open or ask for later. The resolver was warmed by child_boot. */
static void
warm_up(void)
{
	uint8_t key[32] = {0}, iv[12] = {0}, out[16];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;

	if (sodium_init() == -1)
		fatalx("libsodium cannot be started");
	nd.engine = nd.transport->engine_new(nd.base, &nd.settings);
	if (nd.engine == NULL)
		fatalx("no transport");
	if (ctx == NULL || RAND_bytes(out, sizeof(out)) != 1 ||
	    EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv) != 1 ||
	    EVP_EncryptUpdate(ctx, out, &n, key, sizeof(out)) != 1 ||
	    EVP_Digest(key, sizeof(key), key, NULL, EVP_sha1(), NULL) != 1)
		fatalx("OpenSSL: no AES-256-GCM or SHA-1");
	EVP_CIPHER_CTX_free(ctx);
}

static void
on_broken(struct channel *ch, void *owner, const char *why)
{
	child_channel_broken(ch, ((struct netd *)owner)->child, why);
}

static void
on_closed(struct channel *ch, void *owner)
{
	child_channel_closed(ch, ((struct netd *)owner)->child);
}

/* ---------------------------------------------------------------- the end */

static int apid_gone;

static void
stopped(struct netd *n)
{
	child_exit(&child, 0);
}

static void
stop_over(evutil_socket_t fd, short what, void *arg)
{
	stopped(&nd);
}

/* apid has said all that it had to say: receipts, and which links go down. */
static void
on_apid_closed(struct channel *ch, void *owner)
{
	apid_gone = 1;
	if (nd.stopped != NULL)
		links_stop(&nd);
	else
		on_closed(ch, owner);
}

static void
on_stop(struct child *c)
{
	const struct timeval tv = {STOP_MS / 1000, STOP_MS % 1000 * 1000};

	nd.stopped = stopped;
	if (apid_gone)
		links_stop(&nd);
	else if (event_base_once(nd.base, -1, EV_TIMEOUT, stop_over, NULL, &tv) == -1)
		stopped(&nd);
}

static void
open_channels(void)
{
	struct channel_config apid = {.name = "netd: apid",
	    .rows = netd_rows_apid,
	    .nrows = netd_nrows_apid,
	    .owner = &nd,
	    .out_max_bytes = NETD_OUT_MAX,
	    .out_high = NETD_OUT_HIGH,
	    .on_broken = on_broken,
	    .on_closed = on_apid_closed,
	    .on_drained = netd_apid_drained};
	struct channel_config keyd = {.name = "netd: keyd",
	    .rows = netd_rows_keyd,
	    .nrows = netd_nrows_keyd,
	    .owner = &nd,
	    .on_broken = on_broken,
	    .on_closed = on_closed};

	nd.apid = channel_new(nd.base, NETD_FD_APID, &apid);
	nd.keyd = channel_new(nd.base, NETD_FD_KEYD, &keyd);
	if (nd.apid == NULL || nd.keyd == NULL)
		fatalx("cannot make the channels");
}

int
main(int argc, char **argv)
{
	child_boot(&child, ROLE_NETD, argc, argv);
	nd.base = child.base;
	nd.child = &child;
	child.on_stop = on_stop;
	nd.transport = &transport_curl;
	LIST_INIT(&nd.links);
	if (settings_load(&nd.settings, child.config) == -1)
		fatalx("the config is of no use");
	read_ca(&nd.settings);
	warm_up();
	child_confine(&child);
	open_channels();
	child_ready(&child);
	return child_run(&child);
}
