#include "src/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *reterr, int code, const char *format, ...)
{
    if (!reterr)
        return code;
    va_list args;
    va_start(args, format);
    vsnprintf(reterr->message, sizeof reterr->message, format, args);
    va_end(args);
    reterr->code = code;
    return code;
}

int error_set_errno(struct error *reterr, int errnum, const char *format, ...)
{
    int code = errnum == ENOSPC || errnum == EDQUOT ? ERR_FULL : errnum == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    if (!reterr)
        return code;
    va_list args;
    va_start(args, format);
    vsnprintf(reterr->message, sizeof reterr->message, format, args);
    va_end(args);
    char reason[128];
    size_t len = strlen(reterr->message);
    snprintf(reterr->message + len, sizeof reterr->message - len, ": %s",
             strerror_r(errnum, reason, sizeof reason));
    reterr->code = code;
    return code;
}

int error_prefix(struct error *reterr, int code, const char *format, ...)
{
    if (!reterr)
        return code;
    char inner[ERROR_MESSAGE_MAX];
    memcpy(inner, reterr->message, sizeof inner);
    va_list args;
    va_start(args, format);
    vsnprintf(reterr->message, sizeof reterr->message, format, args);
    va_end(args);
    size_t len = strlen(reterr->message);
    snprintf(reterr->message + len, sizeof reterr->message - len, ": %s", inner);
    reterr->code = code;
    return code;
}
