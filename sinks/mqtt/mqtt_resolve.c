#include "sinks/mqtt/mqtt_resolve.h"

#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "src/base/alloc.h"
#include "src/base/mutex.h"
#include "src/base/thread.h"

#define ADDRESSES_MAX 16

struct mqtt_lookup {
    struct mutex lock;
    atomic_uint references; /* the asker's and the thread's */
    char *host;
    void (*notify)(void *arg);
    void *arg;
    bool is_done;
    int status;
    char addresses[ADDRESSES_MAX][MQTT_ADDRESS_SIZE];
    size_t addresses_count;
};

static void lookup_unref(struct mqtt_lookup *l)
{
    if (atomic_fetch_sub(&l->references, 1) > 1)
        return;
    mutex_destroy(&l->lock);
    free(l->host);
    free(l);
}

/* IPv4 first, as paho takes them. */
static void take_addresses(struct mqtt_lookup *l, const struct addrinfo *list)
{
    for (int pass = 0; pass < 2; pass++) {
        for (const struct addrinfo *a = list; a && l->addresses_count < ADDRESSES_MAX; a = a->ai_next) {
            if ((a->ai_family == AF_INET) != (pass == 0))
                continue;
            char *text = l->addresses[l->addresses_count];
            if (getnameinfo(a->ai_addr, a->ai_addrlen, text, MQTT_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
                l->addresses_count++;
        }
    }
}

static void lookup_main(void *arg)
{
    struct mqtt_lookup *l = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int status = getaddrinfo(l->host, NULL, &hints, &list);
    mutex_lock(&l->lock);
    l->status = status;
    if (status == 0)
        take_addresses(l, list);
    if (status == 0 && !l->addresses_count)
        l->status = EAI_NONAME;
    l->is_done = true;
    /* Under the lock: whoever abandons it must not find arg in use afterwards. */
    if (l->notify)
        l->notify(l->arg);
    mutex_unlock(&l->lock);
    if (list)
        freeaddrinfo(list);
    lookup_unref(l);
}

struct mqtt_lookup *mqtt_lookup_start(const char *host, void (*notify)(void *arg), void *arg)
{
    struct mqtt_lookup *l = xcalloc(1, sizeof *l);
    struct thread thread;
    mutex_init(&l->lock, RANK_REJECTS);
    atomic_init(&l->references, 2);
    l->host = xstrdup(host);
    l->notify = notify;
    l->arg = arg;
    thread_start(&thread, "mqtt-lookup", lookup_main, l);
    (void)pthread_detach(thread.native);
    return l;
}

bool mqtt_lookup_done(struct mqtt_lookup *l, size_t index, int *ret_status,
                      char ret_address[MQTT_ADDRESS_SIZE])
{
    mutex_lock(&l->lock);
    bool is_done = l->is_done;
    if (is_done) {
        *ret_status = l->status;
        if (l->addresses_count)
            memcpy(ret_address, l->addresses[index % l->addresses_count], MQTT_ADDRESS_SIZE);
    }
    mutex_unlock(&l->lock);
    return is_done;
}

size_t mqtt_lookup_count(struct mqtt_lookup *l)
{
    mutex_lock(&l->lock);
    size_t count = l->is_done ? l->addresses_count : 0;
    mutex_unlock(&l->lock);
    return count;
}

void mqtt_lookup_abandon(struct mqtt_lookup *l)
{
    if (!l)
        return;
    mutex_lock(&l->lock);
    l->notify = NULL;
    mutex_unlock(&l->lock);
    lookup_unref(l);
}

#ifdef VARVE_MQTT_WRAP

/* The linker's --wrap: every call of getaddrinfo in the program comes here. */
int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result);

struct pin {
    char *name;
    char address[MQTT_ADDRESS_SIZE];
    unsigned references;
    struct pin *next;
};

static struct mutex pins_lock = {.native = PTHREAD_MUTEX_INITIALIZER, .rank = RANK_LEAF};
static struct pin *pins;

static struct pin **find_pin(const char *name)
{
    struct pin **p = &pins;
    while (*p && strcmp((*p)->name, name) != 0)
        p = &(*p)->next;
    return p;
}

bool mqtt_resolve_can_pin(void)
{
    return true;
}

int mqtt_pin(const char *name, const char *address)
{
    int r = 0;
    mutex_lock(&pins_lock);
    struct pin *p = *find_pin(name);
    if (!p) {
        p = xcalloc(1, sizeof *p);
        p->name = xstrdup(name);
        snprintf(p->address, sizeof p->address, "%s", address);
        p->next = pins;
        pins = p;
    }
    if (strcmp(p->address, address) != 0)
        r = ERR_BUSY;
    else
        p->references++;
    mutex_unlock(&pins_lock);
    return r;
}

void mqtt_unpin(const char *name)
{
    mutex_lock(&pins_lock);
    struct pin **place = find_pin(name), *p = *place;
    if (p && --p->references == 0) {
        *place = p->next;
        free(p->name);
        free(p);
    }
    mutex_unlock(&pins_lock);
}

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result)
{
    char address[MQTT_ADDRESS_SIZE];
    bool is_pinned = false;
    if (node && !service) { /* as paho calls it */
        mutex_lock(&pins_lock);
        struct pin *p = *find_pin(node);
        if (p) {
            memcpy(address, p->address, sizeof address);
            is_pinned = true;
        }
        mutex_unlock(&pins_lock);
    }
    return __real_getaddrinfo(is_pinned ? address : node, service, hints, result);
}

#else

bool mqtt_resolve_can_pin(void)
{
    return false;
}

int mqtt_pin(const char *name, const char *address)
{
    (void)name;
    (void)address;
    return 0;
}

void mqtt_unpin(const char *name)
{
    (void)name;
}

#endif
