#include "src/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "src/base/buffer.h"

static _Atomic enum log_level current_level = LOG_LEVEL_INFO;
static _Atomic int current_style; /* 0 text, 1 json, 2 journal */

enum { STYLE_TEXT, STYLE_JSON, STYLE_JOURNAL };

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int syslog_priorities[] = {3, 4, 6, 7};

/* systemd sets JOURNAL_STREAM to the device and inode of the stderr that it made. */
static int stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

void log_open(enum log_level level, enum log_format format)
{
    current_level = level;
    current_style = format == LOG_FORMAT_JSON                          ? STYLE_JSON
                    : format == LOG_FORMAT_AUTO && stderr_is_journal() ? STYLE_JOURNAL
                                                                       : STYLE_TEXT;
}

static void append_json_string(struct buffer *b, const char *s)
{
    buffer_append_u8(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buffer_printf(b, "\\%c", c);
        else if (c < 0x20)
            buffer_printf(b, "\\u%04x", c);
        else
            buffer_append_u8(b, c);
    }
    buffer_append_u8(b, '"');
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > current_level)
        return;
    char message[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);

    struct timespec now;
    struct tm tm;
    char stamp[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp + n, sizeof stamp - n, ".%03ldZ", now.tv_nsec / 1000000);

    struct buffer line = {0};
    int style = current_style;
    switch (style) {
    case STYLE_JSON:
        buffer_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", stamp, level_names[level]);
        append_json_string(&line, message);
        buffer_append_str(&line, "}\n");
        break;
    case STYLE_JOURNAL:
        buffer_printf(&line, "<%d>%s\n", syslog_priorities[level], message);
        break;
    default:
        buffer_printf(&line, "%s %-7s %s\n", stamp, level_names[level], message);
    }
    /* One write, so that lines of several threads don't mix; a log that can't be written has nowhere to say
     * so. */
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written;
    buffer_release(&line);
}
