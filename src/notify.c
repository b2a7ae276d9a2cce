#include "src/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

/* A lost notice is systemd's to miss: it has its own timeouts. */
void notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

void notify_starting_takes(unsigned seconds)
{
    (void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%u000000", seconds);
}

void notify_status(const char *format, ...)
{
    char status[256];
    va_list args;
    va_start(args, format);
    vsnprintf(status, sizeof status, format, args);
    va_end(args);
    for (char *p = status; *p; p++) {
        if (*p == '\n')
            *p = ' ';
    }
    (void)sd_notifyf(0, "STATUS=%s", status);
}
