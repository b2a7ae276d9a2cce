/*
 * What systemd is told (sd_notify(3)): READY, STOPPING, STATUS. Nothing happens when the process wasn't
 * started by it. Any thread.
 */
#ifndef VARVE_SRC_NOTIFY_H
#define VARVE_SRC_NOTIFY_H

void notify_ready(void);
void notify_stopping(void);
/* The start takes this much longer from now on than systemd was told. */
void notify_starting_takes(unsigned seconds);
/* One line for `systemctl status`. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
