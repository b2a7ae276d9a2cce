/*
 * What systemd is told (sd_notify(3)): READY, STOPPING, STATUS. Nothing happens when the process wasn't
 * started by it. Any thread.
 */
#ifndef VARVE_SRC_NOTIFY_H
#define VARVE_SRC_NOTIFY_H

void notify_ready(void);
void notify_stopping(void);
/* One line for `systemctl status`. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
