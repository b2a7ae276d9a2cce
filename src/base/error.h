/*
 * Errors that reach a person.
 *
 * Every function that can fail returns an int: 0 (or a count) on success, one of the negative codes below
 * on failure. The code says who is at fault; the message says what failed, on which file or topic, and what
 * to do. Outputs are not touched on failure. Libraries (storage, sinks, config) return errors; only src/
 * and the sinks' own threads log them, once.
 */
#ifndef VARVE_BASE_ERROR_H
#define VARVE_BASE_ERROR_H

enum {
    ERR_IO = -1,        /* the operating system refused; retrying as it stands won't help */
    ERR_CORRUPT = -2,   /* bytes on disk or from a peer break their format */
    ERR_FULL = -3,      /* no space left: a state to wait out, not a fault */
    ERR_INVALID = -4,   /* the caller's or the user's input is wrong */
    ERR_CANCELLED = -5, /* asked to stop before it was done */
    ERR_BUSY = -6,      /* somebody else holds it (a lock, a running server) */
    ERR_NOT_FOUND = -7, /* what was asked for isn't there */
};

#define ERROR_MESSAGE_MAX 512

/* A code and its message. Lives on the caller's stack; needs no release. */
struct error {
    int code;
    char message[ERROR_MESSAGE_MAX];
};

/* Fills *reterr (which may be NULL: the caller doesn't care) and returns code. An over-long message is cut.
 */
int error_set(struct error *reterr, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: code is ERR_FULL for ENOSPC and EDQUOT, ERR_NOT_FOUND for ENOENT,
 * else ERR_IO; ": <strerror>" is appended to the message. */
int error_set_errno(struct error *reterr, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<text>: " before the message, for a caller that knows more; returns the code. */
int error_prefix(struct error *reterr, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
