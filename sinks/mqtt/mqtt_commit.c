/* The commit thread: a group of messages to disk, then their PUBACKs out. */
#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "src/base/log.h"

/* So many milliseconds are given to a group to grow in: a small window of the broker's isn't slowed down, and
 * a fast disk isn't kept busy with one message at a time. */
#define GROUP_DELAY_MS 1
#define IDLE_WAIT_MS   100
#define EARLY_MS       20 /* so much too early, for a test that has to notice */

/* Returns true if some couldn't be sent yet. */
static bool release_pubacks(struct mqtt_sink *s, uint64_t durable_lsn)
{
    bool is_left = false;
    mutex_lock(&s->release_lock);
    if (s->puback)
        is_left = mqtt_puback_release(s->puback, durable_lsn);
    mutex_unlock(&s->release_lock);
    FAULT_POINT("mqtt_pubacks_sent");
    return is_left;
}

void mqtt_commit_main(void *arg)
{
    struct mqtt_sink *s = arg;
    bool is_left = false;
    for (;;) {
        mutex_lock(&s->lock);
        bool is_last = s->commit_stopping;
        mutex_unlock(&s->lock);
        struct error error = {0};
        bool is_due = spool_wait_appended(s->spool, is_last ? 0 : is_left ? GROUP_DELAY_MS : IDLE_WAIT_MS);
        if (is_due && !is_last)
            clock_sleep_ms(GROUP_DELAY_MS);
        if (is_due && FAULT_SWITCH("mqtt_early_puback")) {
            (void)release_pubacks(s, UINT64_MAX);
            clock_sleep_ms(EARLY_MS);
        }
        if (is_due && spool_commit(s->spool, &error) < 0 && !is_last) {
            log_error("sink %s: %s; nothing is acknowledged to the broker until it can be written again",
                      s->base.name, error.message);
            mqtt_connection_disconnect(s);
        }
        is_left = release_pubacks(s, spool_durable_lsn(s->spool));
        mqtt_session_keep_learned(&s->session);
        if (is_last)
            return;
    }
}
