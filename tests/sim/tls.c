/* The simulator's own certificate authority and the certificate that its port shows. */
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/log.h"
#include "tests/sim/rng.h"
#include "tests/sim/tls.h"

#define NAMES "DNS:web.whatsapp.com,DNS:mmg.whatsapp.net,DNS:localhost,IP:127.0.0.1"

static int
add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	if ((ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value)) == NULL)
		return 0;
	ok = X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

/* A certificate for key, signed by issuer (itself if NULL). */
static X509 *
make_cert(EVP_PKEY *key, const char *cn, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	X509_NAME *name;
	int ok;

	if (cert == NULL)
		return NULL;
	name = X509_get_subject_name(cert);
	ok = X509_set_version(cert, 2) &&
	     ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + (long)rng_below(0x7ffffffe)) &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -86400) != NULL &&
	     X509_gmtime_adj(X509_getm_notAfter(cert), 90L * 86400) != NULL &&
	     X509_set_pubkey(cert, key) &&
	     X509_NAME_add_entry_by_txt(
		 name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0) &&
	     X509_set_issuer_name(cert, issuer == NULL ? name : X509_get_subject_name(issuer));
	if (issuer == NULL)
		ok = ok && add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE") &&
		     add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		     add_ext(cert, cert, NID_subject_key_identifier, "hash");
	else
		ok = ok && add_ext(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
		     add_ext(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
		     add_ext(cert, issuer, NID_ext_key_usage, "serverAuth") &&
		     add_ext(cert, issuer, NID_subject_alt_name, NAMES) &&
		     add_ext(cert, issuer, NID_subject_key_identifier, "hash") &&
		     add_ext(cert, issuer, NID_authority_key_identifier, "keyid");
	if (!ok || X509_sign(cert, issuer_key, EVP_sha256()) == 0) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static int
write_ca(const char *dir, X509 *ca)
{
	char path[4096];
	FILE *f;
	int ok;

	if (snprintf(path, sizeof(path), "%s/ca.pem", dir) >= (int)sizeof(path) ||
	    (f = fopen(path, "w")) == NULL)
		return 0;
	ok = PEM_write_X509(f, ca);
	return fclose(f) == 0 && ok;
}

SSL_CTX *
tls_new(const char *dir)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = NULL, *cert = NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ca_key == NULL || key == NULL || ctx == NULL ||
	    (ca = make_cert(ca_key, "ward simulator CA", NULL, ca_key)) == NULL ||
	    (cert = make_cert(key, "web.whatsapp.com", ca, ca_key)) == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1) {
		log_errx("TLS: %s", ERR_error_string(ERR_get_error(), NULL));
		SSL_CTX_free(ctx);
		ctx = NULL;
	} else if (!write_ca(dir, ca)) {
		log_err("%s/ca.pem", dir);
		SSL_CTX_free(ctx);
		ctx = NULL;
	} else {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	}
	X509_free(ca);
	X509_free(cert);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	return ctx;
}
