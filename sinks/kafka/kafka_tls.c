/*
 * TLS as the library does it, with two additions: the verification can't be turned off (kafka_conf.c), and
 * what a certificate was refused for is said. The library's own text is OpenSSL's "certificate verify
 * failed".
 */
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sinks/kafka/kafka_internal.h"
#include "sinks/tls_reason.h"
#include "src/base/log.h"

static const char *property(const struct kafka_sink *s, const char *key)
{
    for (size_t i = 0; i < s->properties_count; i++) {
        if (strcmp(s->properties[i].key, key) == 0)
            return s->properties[i].value;
    }
    return NULL;
}

bool kafka_uses_tls(const struct kafka_sink *s)
{
    const char *protocol = property(s, "security.protocol");
    return protocol && (strcasecmp(protocol, "SSL") == 0 || strcasecmp(protocol, "SASL_SSL") == 0);
}

/* "ssl://host:9093/1" or "sasl_ssl://[::1]:9093/bootstrap": the host. */
static void host_of(const char *broker_name, char *dst, size_t size)
{
    const char *start = strstr(broker_name, "://");
    start = start ? start + 3 : broker_name;
    const char *end = strchr(start, '/');
    end = end ? end : start + strlen(start);
    const char *colon = end;
    while (colon > start && *colon != ':')
        colon--;
    end = colon > start ? colon : end;
    if (*start == '[' && end > start + 1 && end[-1] == ']') {
        start++;
        end--;
    }
    (void)snprintf(dst, size, "%.*s", (int)(end - start), start);
}

bool kafka_certificate_accepted(const struct kafka_sink *s, const char *broker_name, int x509_error,
                                const char *der, size_t der_size, int depth, char *dst, size_t size)
{
    static const struct tls_reason_keys keys = {.address = "brokers (or the broker's advertised.listeners)",
                                                .ca = "ssl.ca.location"};
    if (x509_error == X509_V_OK)
        return true;
    char host[256];
    const unsigned char *bytes = (const unsigned char *)der;
    const char *ca = property(s, "ssl.ca.location");
    X509 *cert = d2i_X509(NULL, &bytes, (long)der_size);
    host_of(broker_name, host, sizeof host);
    tls_reason(dst, size, x509_error, cert, depth == 0 ? cert : NULL, host,
               ca && strcmp(ca, "probe") != 0 ? ca : NULL, &keys);
    X509_free(cert);
    return false;
}

int kafka_on_certificate(rd_kafka_t *rk, const char *broker_name, int32_t broker_id, int *x509_error,
                         int depth, const char *der, size_t der_size, char *errstr, size_t errstr_size,
                         void *opaque)
{
    struct kafka_consumer *c = opaque;
    char reason[sizeof c->sink->tls_reason];
    (void)rk;
    (void)broker_id;
    if (kafka_certificate_accepted(c->sink, broker_name, *x509_error, der, der_size, depth, reason,
                                   sizeof reason))
        return 1;
    mutex_lock(&c->sink->lock);
    (void)snprintf(c->sink->tls_reason, sizeof c->sink->tls_reason, "%s", reason);
    mutex_unlock(&c->sink->lock);
    (void)snprintf(errstr, errstr_size, "%s", reason);
    return 0;
}

bool kafka_take_tls_reason(struct kafka_sink *s, const char *library_text, char *dst, size_t size)
{
    bool found = false;
    mutex_lock(&s->lock);
    if (s->tls_reason[0] && strstr(library_text, "certificate verify failed")) {
        (void)snprintf(dst, size, "%s", s->tls_reason);
        found = true;
    }
    mutex_unlock(&s->lock);
    return found;
}

const char *kafka_tls_hint(const struct kafka_sink *s, const char *library_text)
{
    if (!kafka_uses_tls(s) || !strstr(library_text, "SSL alert number"))
        return "";
    return property(s, "ssl.certificate.location") || property(s, "ssl.keystore.location") ||
                   property(s, "ssl.certificate.pem")
               ? " (the broker doesn't accept the client certificate in ssl.certificate.location)"
               : " (if the broker wants a client certificate, set ssl.certificate.location and "
                 "ssl.key.location)";
}
