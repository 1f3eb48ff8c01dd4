/* The simulator's own certificate authority and the certificate that its port shows. */
#ifndef SIM_TLS_H
#define SIM_TLS_H

#include <openssl/ssl.h>

/* Makes a CA and a server certificate for the names of protocol page 11, section 1, and writes
 * DIR/ca.pem. NULL on failure, with a line in the log. */
SSL_CTX *tls_new(const char *dir);

#endif
