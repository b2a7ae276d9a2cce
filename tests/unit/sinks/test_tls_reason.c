#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "sinks/tls_reason.h"

static const struct tls_reason_keys keys = {.address = "broker", .ca = "tls.ca"};

static void set_name(X509_NAME *name, const char *text)
{
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0), 1);
}

/* names: as in openssl.cnf, or NULL. Valid from the epoch's first day to its second. */
static X509 *make_certificate(const char *subject, const char *issuer, const char *names)
{
    X509 *cert = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(cert);
    assert_non_null(key);
    set_name(X509_get_subject_name(cert), subject);
    set_name(X509_get_issuer_name(cert), issuer);
    ASN1_TIME_set(X509_getm_notBefore(cert), 0);
    ASN1_TIME_set(X509_getm_notAfter(cert), 86400);
    if (names) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
        assert_non_null(e);
        assert_int_equal(X509_add_ext(cert, e, -1), 1);
        X509_EXTENSION_free(e);
    }
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    EVP_PKEY_free(key);
    return cert;
}

static void assert_reason(int x509_error, X509 *cert, X509 *leaf, const char *ca, const char *expected)
{
    char text[512];
    tls_reason(text, sizeof text, x509_error, cert, leaf, "edge.example", ca, &keys);
    assert_string_equal(text, expected);
}

static void names_are_told(void **state)
{
    (void)state;
    X509 *cert =
        make_certificate("common", "CA", "DNS:a.example,IP:192.0.2.1,IP:2001:db8::1,email:x@a.example");
    assert_reason(
        X509_V_ERR_HOSTNAME_MISMATCH, cert, cert, "/ca.pem",
        "the broker's certificate is for a.example, 192.0.2.1, 2001:db8::1, not for edge.example: it's "
        "another host's, or broker has to name the broker as its certificate does");
    X509_free(cert);
    cert = make_certificate("common", "CA", NULL);
    assert_reason(
        X509_V_ERR_IP_ADDRESS_MISMATCH, cert, cert, NULL,
        "the broker's certificate is for common, not for edge.example: it's another host's, or broker "
        "has to name the broker as its certificate does");
    X509_free(cert);
    cert = make_certificate("common", "CA", "DNS:a,DNS:b,DNS:c,DNS:d,DNS:e,DNS:f");
    char text[512];
    tls_reason(text, sizeof text, X509_V_ERR_HOSTNAME_MISMATCH, cert, cert, "x", NULL, &keys);
    assert_non_null(strstr(text, "for a, b, c, d and 2 more, not for x"));
    X509_free(cert);
}

static void dates_are_told(void **state)
{
    (void)state;
    X509 *cert = make_certificate("a", "CA", NULL), *ca = make_certificate("CA", "CA", NULL);
    assert_reason(
        X509_V_ERR_CERT_HAS_EXPIRED, cert, cert, NULL,
        "the broker's certificate expired on 1970-01-02T00:00:00Z: the broker needs a new one, or the "
        "clock here is wrong");
    assert_reason(
        X509_V_ERR_CERT_HAS_EXPIRED, ca, cert, NULL,
        "a CA of the broker's certificate expired on 1970-01-02T00:00:00Z: the broker needs a new one, "
        "or the clock here is wrong");
    assert_reason(
        X509_V_ERR_CERT_NOT_YET_VALID, cert, cert, NULL,
        "the broker's certificate isn't valid before 1970-01-01T00:00:00Z: is the clock here, or the "
        "broker's, wrong?");
    X509_free(cert);
    X509_free(ca);
}

static void strange_cas_are_told(void **state)
{
    (void)state;
    X509 *cert = make_certificate("a", "Plant CA", NULL);
    assert_reason(
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, cert, cert, "/etc/ca.pem",
        "the broker's certificate was issued by \"Plant CA\", a CA that isn't in /etc/ca.pem: put the "
        "certificate of the broker's CA there (tls.ca)");
    assert_reason(
        X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, cert, cert, NULL,
        "the broker's certificate was issued by \"Plant CA\", a CA that this system doesn't trust: name "
        "the file with the broker's CA in tls.ca");
    assert_reason(X509_V_ERR_CERT_REVOKED, cert, cert, NULL,
                  "the broker's certificate can't be verified: certificate revoked");
    X509_free(cert);
}

/* A certificate is a stranger's text: no line of the log is of its making. */
static void names_are_made_printable(void **state)
{
    (void)state;
    char text[512], small[16];
    X509 *cert = make_certificate("a\nsink x: \"all is well\"", "evil\x1b[31m\xc3\xa4\n", NULL);
    tls_reason(text, sizeof text, X509_V_ERR_HOSTNAME_MISMATCH, cert, cert, "x", NULL, &keys);
    assert_non_null(strstr(text, "for a?sink x: ?all is well?, not"));
    tls_reason(text, sizeof text, X509_V_ERR_CERT_UNTRUSTED, cert, cert, "x", NULL, &keys);
    assert_non_null(strstr(text, "\"evil?[31m???\""));
    tls_reason(small, sizeof small, X509_V_ERR_CERT_UNTRUSTED, cert, cert, "x", NULL, &keys);
    assert_string_equal(small, "the broker's ce");
    tls_reason(text, sizeof text, X509_V_ERR_HOSTNAME_MISMATCH, NULL, NULL, "x", NULL, &keys);
    tls_reason(text, sizeof text, X509_V_ERR_CERT_HAS_EXPIRED, NULL, NULL, "x", NULL, &keys);
    tls_reason(text, sizeof text, X509_V_ERR_CERT_UNTRUSTED, NULL, NULL, "x", NULL, &keys);
    X509_free(cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_told),
        cmocka_unit_test(dates_are_told),
        cmocka_unit_test(strange_cas_are_told),
        cmocka_unit_test(names_are_made_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
