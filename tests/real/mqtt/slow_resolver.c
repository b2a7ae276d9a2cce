/* A name server that takes 6 s: preloaded, answers for slow.invalid with 127.0.0.1 after that time. */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && strcmp(node, "slow.invalid") == 0) {
        sleep(6);
        node = "127.0.0.1";
    }
    return next(node, service, hints, result);
}
