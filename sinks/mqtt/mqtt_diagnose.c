#include "sinks/mqtt/mqtt_diagnose.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sinks/tls_reason.h"
#include "src/base/clock.h"

#define SLICE_MS 50 /* how late a cancel may be noticed */
/* With TLS 1.3 a broker says only after the handshake that it doesn't like our certificate, or misses one. */
#define ALERT_WAIT_MS 1000

struct diagnosis {
    const struct mqtt_target *target;
    int64_t deadline_ms;
    bool (*is_cancelled)(void *arg);
    void *arg;
    char *dst;
    size_t size;
    bool is_found;
};

static const struct tls_reason_keys keys = {.address = "broker (or tls.server_name)", .ca = "tls.ca"};

static bool found(struct diagnosis *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool found(struct diagnosis *d, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(d->dst, d->size, format, ap);
    va_end(ap);
    d->is_found = true;
    return true;
}

/* False when the time is up. */
static bool wait_for(struct diagnosis *d, int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left = deadline_ms - clock_monotonic_ms();
        if (left <= 0 || d->is_cancelled(d->arg))
            return false;
        if (poll(&p, 1, (int)(left < SLICE_MS ? left : SLICE_MS)) > 0)
            return true;
    }
}

/* A socket, or -1. */
static int connect_tcp(struct diagnosis *d)
{
    const struct mqtt_target *t = d->target;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV},
                    *list = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", t->port);
    if (getaddrinfo(t->address, port, &hints, &list) != 0)
        return -1;
    int error = 0, fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (connect(fd, list->ai_addr, list->ai_addrlen) < 0 && errno != EINPROGRESS))
        error = errno;
    freeaddrinfo(list);
    if (fd >= 0 && !error) {
        socklen_t len = sizeof error;
        if (!wait_for(d, fd, POLLOUT, d->deadline_ms))
            error = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            error = errno;
    }
    if (!error)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    if (!d->is_cancelled(d->arg))
        (void)found(d, "%s port %u: %s", t->address, t->port, strerror(error));
    return -1;
}

/* OpenSSL's, for each certificate of the chain: the first fault is the one to tell. */
static int on_certificate(int is_good, X509_STORE_CTX *chain)
{
    if (is_good)
        return 1;
    SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct diagnosis *d = SSL_get_app_data(ssl);
    tls_reason(d->dst, d->size, X509_STORE_CTX_get_error(chain), X509_STORE_CTX_get_current_cert(chain),
               X509_STORE_CTX_get0_cert(chain), d->target->name, d->target->ca, &keys);
    d->is_found = true;
    return 0;
}

static const char *reason_of_openssl(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "no reason given";
}

static bool use_files(struct diagnosis *d, SSL_CTX *context)
{
    const struct mqtt_target *t = d->target;
    if (t->ca ? SSL_CTX_load_verify_locations(context, t->ca, NULL) != 1
              : SSL_CTX_set_default_verify_paths(context) != 1)
        return !found(d, "tls.ca: %s holds no certificate that can be read (%s)",
                      t->ca ? t->ca : "the system's file", reason_of_openssl());
    if (t->cert && SSL_CTX_use_certificate_chain_file(context, t->cert) != 1)
        return !found(d, "tls.cert: %s holds no certificate that can be read (%s)", t->cert,
                      reason_of_openssl());
    const char *key = t->key ? t->key : t->cert;
    if (key && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return !found(d, "tls.key: %s holds no private key that can be read, or not the one of tls.cert (%s)",
                      key, reason_of_openssl());
    return true;
}

static bool set_name(SSL *ssl, const char *name)
{
    struct in6_addr address;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    return SSL_set_tlsext_host_name(ssl, name) == 1 && X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

/* is_hung_up: the broker ended the connection without a word of TLS. */
static void explain_refusal(struct diagnosis *d, bool is_hung_up)
{
    const struct mqtt_target *t = d->target;
    unsigned long error = ERR_peek_last_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    if (d->is_found)
        return;
    if (is_hung_up || reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
        (void)found(d, "what listens at %s port %u doesn't answer with TLS: is that the broker's TLS port?",
                    t->address, t->port);
    else if (reason > 0 && reason < SSL_AD_REASON_OFFSET)
        (void)found(d, "TLS: %s", reason_of_openssl());
    else if (reason > 0 && t->cert)
        (void)found(d, "the broker refuses the client certificate %s (tls.cert): %s", t->cert,
                    reason_of_openssl());
    else if (reason > 0) /* an alert of its, and it didn't like something of ours */
        (void)found(
            d,
            "the broker ends the TLS handshake (%s): if it wants a client certificate, set tls.cert and "
            "tls.key",
            reason_of_openssl());
}

static bool is_end_of_file(int error)
{
    return error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN ||
           (error == SSL_ERROR_SSL &&
            ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
}

/* Repeats step (SSL_connect or a read) until it's done: true; or refused, or the time is up: false. */
static bool repeat(struct diagnosis *d, SSL *ssl, int fd, bool is_read, int64_t deadline_ms)
{
    char byte;
    for (;;) {
        ERR_clear_error();
        int r = is_read ? SSL_read(ssl, &byte, 1) : SSL_connect(ssl);
        if (r == 1)
            return true;
        int error = SSL_get_error(ssl, r);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            bool is_end = is_end_of_file(error);
            if (!is_read || !is_end) /* later on, it's no news that the broker hangs up: we say nothing */
                explain_refusal(d, is_end);
            return false;
        }
        if (!wait_for(d, fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ms))
            return false;
    }
}

static void shake_hands(struct diagnosis *d, int fd)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context && use_files(d, context) ? SSL_new(context) : NULL;
    if (ssl && set_name(ssl, d->target->name) && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_app_data(ssl, d);
        SSL_set_verify(ssl, SSL_VERIFY_PEER, on_certificate);
        if (repeat(d, ssl, fd, false, d->deadline_ms)) {
            int64_t deadline_ms = clock_monotonic_ms() + ALERT_WAIT_MS;
            (void)repeat(d, ssl, fd, true, deadline_ms < d->deadline_ms ? deadline_ms : d->deadline_ms);
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    ERR_clear_error();
}

bool mqtt_diagnose(const struct mqtt_target *t, int64_t timeout_ms, bool (*is_cancelled)(void *arg),
                   void *arg, char *dst, size_t size)
{
    struct diagnosis d = {.target = t,
                          .deadline_ms = clock_monotonic_ms() + timeout_ms,
                          .is_cancelled = is_cancelled,
                          .arg = arg,
                          .dst = dst,
                          .size = size};
    int fd = connect_tcp(&d);
    if (fd < 0)
        return d.is_found;
    if (t->is_tls)
        shake_hands(&d, fd);
    (void)close(fd);
    return d.is_found;
}
