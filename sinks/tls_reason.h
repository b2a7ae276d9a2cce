/*
 * Why a broker's certificate is refused, in words for a person, with what to do about it. OpenSSL's own words
 * ("certificate verify failed") don't tell an expired certificate from another host's, and its libraries'
 * callers pass on no more than these.
 */
#ifndef VARVE_SINKS_TLS_REASON_H
#define VARVE_SINKS_TLS_REASON_H

#include <openssl/x509.h>
#include <stddef.h>

/* How the configuration calls what a person may have to change. */
struct tls_reason_keys {
    const char *address; /* where the broker's name is written: "broker" */
    const char *ca;      /* "tls.ca" */
};

/* Writes the reason for x509_error (X509_V_ERR_...) to dst, cut at size. cert is the certificate that it was
 * found in (of the chain), leaf the broker's own; either may be NULL. wanted is the name or address that was
 * connected to; ca_path the file of CAs, NULL for the system's. What certificates say is made printable. */
void tls_reason(char *dst, size_t size, int x509_error, X509 *cert, X509 *leaf, const char *wanted,
                const char *ca_path, const struct tls_reason_keys *keys);

#endif
