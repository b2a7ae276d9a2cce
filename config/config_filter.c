#include "config/config_filter.h"

#include <string.h>

#define FILTER_LENGTH_MAX 65535 /* the protocol's own */
#define SHARE_PREFIX      "$share/"

const char *config_filter_unshared(const char *filter)
{
    if (strncmp(filter, SHARE_PREFIX, sizeof SHARE_PREFIX - 1) != 0)
        return filter;
    const char *slash = strchr(filter + sizeof SHARE_PREFIX - 1, '/');
    return slash ? slash + 1 : filter;
}

int config_filter_check(const char *filter, struct error *reterr)
{
    if (strlen(filter) > FILTER_LENGTH_MAX)
        return error_set(reterr, ERR_INVALID, "is longer than the %d bytes of the protocol",
                         FILTER_LENGTH_MAX);
    const char *p = config_filter_unshared(filter);
    if (!strncmp(filter, SHARE_PREFIX, sizeof SHARE_PREFIX - 1)) {
        const char *group = filter + sizeof SHARE_PREFIX - 1;
        if (p == filter || p == group + 1 || strcspn(group, "+#/") < (size_t)(p - 1 - group) || !*p)
            return error_set(
                reterr, ERR_INVALID,
                "is no shared filter; write $share/, a group without + and #, and the filter, as in "
                "$share/varve/plants/#");
    }
    while (true) {
        size_t len = strcspn(p, "/");
        size_t plain = strcspn(p, "+#");
        bool is_wildcard = len == 1 && (*p == '+' || *p == '#');
        if (plain < len && !is_wildcard)
            return error_set(
                reterr, ERR_INVALID,
                "has + or # among other characters of a level; each is a level of its own, as in "
                "plants/+/lines/#");
        if (*p == '#' && p[len])
            return error_set(reterr, ERR_INVALID,
                             "has # before its end; # is the last level, as in plants/#");
        if (!p[len])
            return 0;
        p += len + 1;
    }
}

size_t config_filter_captures(const char *filter)
{
    size_t count = 0;
    for (const char *p = config_filter_unshared(filter); *p; p++)
        count += *p == '+';
    return count;
}

bool config_filter_overlap(const char *a, const char *b)
{
    a = config_filter_unshared(a);
    b = config_filter_unshared(b);
    /* Topics that start with $ aren't matched by a wildcard in front. */
    if ((*a == '$' && (*b == '+' || *b == '#')) || (*b == '$' && (*a == '+' || *a == '#')))
        return false;
    while (true) {
        size_t a_len = strcspn(a, "/"), b_len = strcspn(b, "/");
        if (*a == '#' || *b == '#')
            return true;
        if (*a != '+' && *b != '+' && (a_len != b_len || memcmp(a, b, a_len) != 0))
            return false;
        a += a_len;
        b += b_len;
        if (!*a || !*b) /* a/# matches a, too */
            return *a == *b || !strcmp(a, "/#") || !strcmp(b, "/#");
        a++;
        b++;
    }
}
