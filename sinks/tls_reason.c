#include "sinks/tls_reason.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/buffer.h"

#define NAMES_MAX  4  /* of a certificate's, that are told */
#define NAME_BYTES 80 /* of each */

/* What a certificate says is a stranger's: no control characters, no quotes, not without end. */
static void append_printable(struct buffer *dst, const char *text, size_t len)
{
    for (size_t i = 0; i < len && i < NAME_BYTES; i++) {
        unsigned char c = (unsigned char)text[i];
        buffer_append_u8(dst, c > ' ' && c < 0x7f && c != '"' ? c : c == ' ' ? ' ' : '?');
    }
}

static void append_name(struct buffer *dst, const GENERAL_NAME *name)
{
    char address[INET6_ADDRSTRLEN] = "?";
    if (name->type == GEN_DNS) {
        append_printable(dst, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                         (size_t)ASN1_STRING_length(name->d.dNSName));
        return;
    }
    int len = ASN1_STRING_length(name->d.iPAddress);
    if (len == 4 || len == 16)
        (void)inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), address,
                        sizeof address);
    buffer_append_str(dst, address);
}

static void append_common_name(struct buffer *dst, const X509_NAME *name)
{
    char text[NAME_BYTES + 1] = "";
    int len = X509_NAME_get_text_by_NID((X509_NAME *)name, NID_commonName, text, sizeof text);
    if (len > 0)
        append_printable(dst, text, (size_t)len);
    else
        buffer_append_str(dst, "a name that it doesn't give");
}

/* The names and addresses that it's good for: the alternative ones, or where it has none, the common name. */
static void append_names(struct buffer *dst, X509 *leaf)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t told = 0, left = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD)
            continue;
        if (told == NAMES_MAX) {
            left++;
            continue;
        }
        buffer_append_str(dst, told++ ? ", " : "");
        append_name(dst, name);
    }
    GENERAL_NAMES_free(names);
    if (!told)
        append_common_name(dst, X509_get_subject_name(leaf));
    if (left)
        buffer_printf(dst, " and %zu more", left);
}

static void append_date(struct buffer *dst, const ASN1_TIME *time)
{
    struct tm tm;
    char text[32] = "a time that can't be read";
    if (time && ASN1_TIME_to_tm(time, &tm))
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buffer_append_str(dst, text);
}

static void append_stranger(struct buffer *dst, X509 *cert, const char *ca_path,
                            const struct tls_reason_keys *keys)
{
    buffer_append_str(dst, "the broker's certificate was issued by \"");
    if (cert)
        append_common_name(dst, X509_get_issuer_name(cert));
    if (ca_path)
        buffer_printf(dst, "\", a CA that isn't in %s: put the certificate of the broker's CA there (%s)",
                      ca_path, keys->ca);
    else
        buffer_printf(dst,
                      "\", a CA that this system doesn't trust: name the file with the broker's CA in %s",
                      keys->ca);
}

void tls_reason(char *dst, size_t size, int x509_error, X509 *cert, X509 *leaf, const char *wanted,
                const char *ca_path, const struct tls_reason_keys *keys)
{
    struct buffer text = {0};
    switch (x509_error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        buffer_append_str(&text, "the broker's certificate is for ");
        if (leaf)
            append_names(&text, leaf);
        buffer_printf(
            &text, ", not for %s: it's another host's, or %s has to name the broker as its certificate does",
            wanted, keys->address);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        buffer_append_str(&text, cert == leaf ? "the broker's certificate expired on "
                                              : "a CA of the broker's certificate expired on ");
        append_date(&text, cert ? X509_get0_notAfter(cert) : NULL);
        buffer_append_str(&text, ": the broker needs a new one, or the clock here is wrong");
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        buffer_append_str(&text, "the broker's certificate isn't valid before ");
        append_date(&text, cert ? X509_get0_notBefore(cert) : NULL);
        buffer_append_str(&text, ": is the clock here, or the broker's, wrong?");
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* a CA of the same name, with another key */
    case X509_V_ERR_CERT_UNTRUSTED:
        append_stranger(&text, cert, ca_path, keys);
        break;
    default:
        buffer_printf(&text, "the broker's certificate can't be verified: %s",
                      X509_verify_cert_error_string(x509_error));
        break;
    }
    (void)snprintf(dst, size, "%s", buffer_cstr(&text));
    buffer_release(&text);
}
