#include "config/config_secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "src/base/cleanup.h"

#define SECRET_FILE_MAX 65536

/* Appends the text of a file. O_NONBLOCK: a FIFO named by mistake must not hang the start. */
static int append_file(struct buffer *dst, const char *path, struct error *reterr)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(reterr, ERR_INVALID,
                         "the secret's file %s can't be read: %s; create it, readable for Varve's user", path,
                         strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(reterr, ERR_INVALID,
                         "the secret's file %s is no regular file; name one that holds the secret", path);
    size_t before = dst->len;
    for (;;) {
        ssize_t n = read(fd, buffer_reserve(dst, 4096), 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(reterr, ERR_INVALID,
                             "the secret's file %s can't be read: %s; create it, readable for Varve's user",
                             path, strerror(errno));
        if (!n)
            break;
        dst->len += (size_t)n;
        if (dst->len - before > SECRET_FILE_MAX)
            return error_set(
                reterr, ERR_INVALID,
                "the secret's file %s is larger than 64 KiB; name one that holds the secret alone", path);
    }
    if (memchr(dst->data + before, '\0', dst->len - before))
        return error_set(reterr, ERR_INVALID, "the secret's file %s holds a zero byte; a secret is text",
                         path);
    if (dst->len > before && dst->data[dst->len - 1] == '\n')
        dst->len--;
    if (dst->len > before && dst->data[dst->len - 1] == '\r')
        dst->len--;
    return 0;
}

static int append_credential(struct buffer *dst, const char *name, struct error *reterr)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
        return error_set(reterr, ERR_INVALID,
                         "a credential's name is a file name without /; write %%{credential:NAME}");
    if (!directory)
        return error_set(reterr, ERR_INVALID,
                         "there are no credentials: $CREDENTIALS_DIRECTORY isn't set; give the unit "
                         "LoadCredential=%s:/path",
                         name);
    _cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
    return append_file(dst, path, reterr);
}

static bool is_variable_name(const char *s)
{
    if (!*s || (*s >= '0' && *s <= '9'))
        return false;
    for (; *s; s++) {
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_'))
            return false;
    }
    return true;
}

static int append_reference(struct buffer *dst, const char *reference, struct error *reterr)
{
    if (!strncmp(reference, "file:", 5)) {
        if (reference[5] != '/')
            return error_set(reterr, ERR_INVALID,
                             "a secret's file needs an absolute path; write %%{file:/path}");
        return append_file(dst, reference + 5, reterr);
    }
    if (!strncmp(reference, "credential:", 11))
        return append_credential(dst, reference + 11, reterr);
    if (!is_variable_name(reference))
        return error_set(reterr, ERR_INVALID,
                         "%%{...} names no secret; write %%{ENV_VAR}, %%{file:/path} or %%{credential:NAME}");
    const char *value = getenv(reference);
    if (!value)
        return error_set(reterr, ERR_INVALID,
                         "the environment variable %s isn't set; set it, or write %%%%{ for a literal %%{",
                         reference);
    buffer_append_str(dst, value);
    return 0;
}

bool config_secrets_has_reference(const char *text)
{
    return strstr(text, "%{") != NULL;
}

int config_secrets_expand(const char *text, char **ret, bool *ret_secret, struct error *reterr)
{
    struct buffer out = {0};
    bool secret = false;
    int r = 0;
    for (const char *p = text; *p && !r;) {
        if (!strncmp(p, "%%{", 3)) {
            buffer_append_str(&out, "%{");
            p += 3;
            continue;
        }
        if (strncmp(p, "%{", 2) != 0) {
            buffer_append_u8(&out, (uint8_t)*p++);
            continue;
        }
        const char *end = strchr(p, '}');
        if (!end) {
            r = error_set(reterr, ERR_INVALID,
                          "%%{ without its }; write %%{ENV_VAR}, or %%%%{ for a literal %%{");
            break;
        }
        _cleanup_free_ char *reference = xstrndup(p + 2, (size_t)(end - p - 2));
        r = append_reference(&out, reference, reterr);
        secret = true;
        p = end + 1;
    }
    if (!r) {
        *ret = xstrdup(buffer_cstr(&out));
        *ret_secret = secret;
    }
    if (out.data)
        explicit_bzero(out.data, out.cap);
    buffer_release(&out);
    return r;
}
