/* The ring over restarts: out of the spool, out of the file, over a lost session, with a disk that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_session.h"
#include "sinks/mqtt/mqtt_session_file.h"
#include "tests/unit/sinks/mqtt/spool_world.h"

#define IDENTITY 77u

/* Sanitizers make a run many times as long: they try every so manyth operation. */
#ifdef VARVE_SANITIZED
#define STRIDE 7
#else
#define STRIDE 1
#endif

struct world {
    struct spool_world *spool;
    struct mqtt_session session;
};

static void open_session(struct world *w, uint64_t identity)
{
    struct error error = {0};
    if (mqtt_session_open(&w->session, w->spool->spool, w->spool->max_bytes, "edge", identity, &error) < 0)
        fail_msg("%s", error.message);
}

static void begin(struct world *w, bool is_present, bool want_lost)
{
    struct error error = {0};
    bool is_lost;
    mqtt_session_connected(&w->session, is_present);
    if (mqtt_session_begin(&w->session, &is_lost, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(is_lost, want_lost);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    if (spool_world_setup((void **)&w->spool) < 0)
        return -1;
    w->spool->max_bytes = 1 << 20; /* small segments */
    world_open(w->spool);
    open_session(w, IDENTITY);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    mqtt_session_close(&w->session);
    int r = spool_world_teardown((void **)&w->spool);
    free(w);
    return r;
}

static void restart_as(struct world *w, uint64_t identity)
{
    mqtt_session_close(&w->session);
    world_close(w->spool);
    world_open(w->spool);
    open_session(w, identity);
}

static void restart(struct world *w)
{
    restart_as(w, IDENTITY);
}

static struct spool_record record_of(unsigned id, bool dup, size_t size)
{
    static char payload[100000];
    memset(payload, 'p', sizeof payload);
    return (struct spool_record){.arrival_ms = 1,
                                 .packet_id = (uint16_t)id,
                                 .qos = 1,
                                 .dup = dup,
                                 .topic = span_of("a/b", 3),
                                 .payload = span_of(payload, size)};
}

/* Message id comes, is stored and answered -> its LSN. */
static uint64_t store(struct world *w, unsigned id, size_t size)
{
    struct spool_record record = record_of(id, false, size);
    struct mqtt_dedup_message m = mqtt_dedup_message_of(&record);
    uint64_t lsn;
    assert_int_equal(spool_append(w->spool->spool, &record, true, &lsn), 0);
    mqtt_session_stored(&w->session, &m, lsn);
    mqtt_session_answered(&w->session, m.packet_id, lsn);
    return lsn;
}

static enum mqtt_dedup_verdict judge(struct world *w, unsigned id, size_t size, uint64_t *ret_lsn)
{
    struct spool_record record = record_of(id, true, size);
    struct mqtt_dedup_message m = mqtt_dedup_message_of(&record);
    return mqtt_session_judge(&w->session, &m, ret_lsn);
}

static void assert_known(struct world *w, unsigned first, unsigned end, size_t size)
{
    uint64_t lsn;
    for (unsigned id = first; id < end; id++)
        assert_int_equal(judge(w, id, size, &lsn), MQTT_DEDUP_DROP);
}

static void see_it_count_up(struct world *w)
{
    mutex_lock(&w->session.lock);
    mqtt_dedup_set_counts_up(w->session.dedup, true);
    mutex_unlock(&w->session.lock);
    mqtt_session_keep_learned(&w->session);
}

static void out_of_the_spool(void **state)
{
    struct world *w = *state;
    uint64_t lsn = 0;
    begin(w, false, false);
    see_it_count_up(w);
    for (unsigned id = 1; id <= 100; id++)
        (void)store(w, id, 50);
    world_commit(w->spool);
    restart(w);
    assert_true(mqtt_session_counts_up(&w->session));
    assert_known(w, 1, 101, 50);
    assert_int_equal(judge(w, 40, 50, &lsn), MQTT_DEDUP_DROP);
    assert_int_equal(lsn, 40);
    assert_int_equal(judge(w, 40, 51, &lsn), MQTT_DEDUP_STORE);
    begin(w, true, false);
    assert_known(w, 1, 101, 50);
}

/* Trimmed away, but the broker may still send them again. */
static void out_of_the_file(void **state)
{
    struct world *w = *state;
    struct spool_stats before, after;
    begin(w, false, false);
    see_it_count_up(w);
    for (unsigned id = 1; id <= 1000; id++) {
        (void)store(w, id, 2000);
        if (id % 20 == 0)
            world_commit(w->spool);
        if (id % 200 == 0)
            mqtt_session_trim(&w->session, id - 50, true);
    }
    spool_get_stats(w->spool->spool, &before);
    assert_true(before.first_lsn > 500);
    restart(w);
    assert_known(w, 1, 1001, 2000);
    mqtt_session_trim(&w->session, 1001, true);
    world_commit(w->spool);
    restart(w);
    assert_known(w, 1, 1001, 2000);
    spool_get_stats(w->spool->spool, &after);
    assert_int_equal(after.next_lsn, 1001);
    assert_true(after.first_lsn > before.first_lsn);
}

static void a_lost_session(void **state)
{
    struct world *w = *state;
    uint64_t lsn;
    begin(w, false, false); /* the first one ever */
    see_it_count_up(w);
    for (unsigned id = 1; id <= 10; id++)
        (void)store(w, id, 50);
    world_commit(w->spool);
    begin(w, false, true);
    assert_int_equal(judge(w, 5, 50, &lsn), MQTT_DEDUP_STORE);
    assert_false(mqtt_session_counts_up(&w->session));
    (void)store(w, 3, 50);
    world_commit(w->spool);
    restart(w);
    begin(w, true, false);
    see_it_count_up(w);
    assert_int_equal(judge(w, 5, 50, &lsn), MQTT_DEDUP_STORE); /* though it lies in the spool */
    assert_known(w, 3, 4, 50);
}

/* The file can't be written: nothing may be subscribed, and the next connection begins with it, although the
 * broker has the (empty) session then. */
static void a_lost_session_and_a_full_disk(void **state)
{
    struct world *w = *state;
    struct error error = {0};
    uint64_t lsn;
    bool is_lost;
    begin(w, false, false);
    (void)store(w, 5, 50);
    world_commit(w->spool);
    atomic_store(&w->spool->fs.fail_errno, ENOSPC);
    atomic_store(&w->spool->fs.fails_after, 1000);
    atomic_store(&w->spool->fs.fail_at, 1);
    mqtt_session_connected(&w->session, false);
    assert_int_equal(mqtt_session_begin(&w->session, &is_lost, &error), ERR_FULL);
    assert_true(is_lost);
    atomic_store(&w->spool->fs.fail_at, 0);
    atomic_store(&w->spool->fs.fails_after, 0);
    begin(w, true, false);
    restart(w);
    see_it_count_up(w);
    assert_int_equal(judge(w, 5, 50, &lsn), MQTT_DEDUP_STORE);
}

static void another_broker(void **state)
{
    struct world *w = *state;
    uint64_t lsn;
    begin(w, false, false);
    (void)store(w, 5, 50);
    world_commit(w->spool);
    restart_as(w, IDENTITY + 1);
    assert_int_equal(judge(w, 5, 50, &lsn), MQTT_DEDUP_STORE);
    begin(w, true, false);
    restart_as(w, IDENTITY);
    assert_int_equal(judge(w, 5, 50, &lsn), MQTT_DEDUP_STORE);
    assert_int_not_equal(mqtt_session_identity("a", "h", 1883, ""),
                         mqtt_session_identity("a", "h", 1884, ""));
    assert_int_not_equal(mqtt_session_identity("a", "h", 1883, ""),
                         mqtt_session_identity("b", "h", 1883, ""));
}

static void a_damaged_file(void **state)
{
    struct world *w = *state;
    uint64_t lsn;
    begin(w, false, false);
    (void)store(w, 5, 50);
    world_commit(w->spool);
    int fd = openat(spool_dir_fd(w->spool->spool), MQTT_SESSION_FILE, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, 20), 1);
    close(fd);
    restart(w);
    assert_int_equal(judge(w, 5, 50, &lsn), MQTT_DEDUP_STORE); /* a double rather than a loss */
    begin(w, true, false);
}

static void what_was_not_durable(void **state)
{
    struct world *w = *state;
    struct error error = {0};
    uint64_t lsn;
    begin(w, false, false);
    see_it_count_up(w);
    (void)store(w, 1, 50);
    world_commit(w->spool);
    (void)store(w, 2, 50);
    atomic_store(&w->spool->fs.fail_errno, EIO);
    atomic_store(&w->spool->fs.fail_at, 1);
    assert_true(spool_commit(w->spool->spool, &error) < 0);
    assert_int_equal(spool_recover(w->spool->spool, &error), 0);
    mqtt_session_forget_undurable(&w->session);
    assert_known(w, 1, 2, 50);
    assert_int_equal(judge(w, 2, 50, &lsn), MQTT_DEDUP_STORE);
}

/* QoS 0 between them: as far back as it takes. */
static void few_above_qos_0(void **state)
{
    struct world *w = *state;
    begin(w, false, false);
    see_it_count_up(w);
    (void)store(w, 1, 50);
    for (unsigned i = 0; i < 2 * MQTT_DEDUP_WINDOW; i++) {
        struct spool_record record = record_of(0, false, 1);
        uint64_t lsn;
        record.qos = 0;
        assert_int_equal(spool_append(w->spool->spool, &record, true, &lsn), 0);
    }
    (void)store(w, 2, 50);
    world_commit(w->spool);
    restart(w);
    assert_known(w, 1, 3, 50);
}

/* --- the disk fails at every operation --- */

#define LIFE_END  100u
#define LIFE_SIZE 2000u

/* Messages [1, LIFE_END): what a failed disk took away is forgotten, and sent again by the broker. */
static void live(struct world *w)
{
    struct spool *spool = w->spool->spool;
    for (unsigned id = 1, durable = 1; durable < LIFE_END;) {
        struct spool_record record = record_of(id, false, LIFE_SIZE);
        struct mqtt_dedup_message m = mqtt_dedup_message_of(&record);
        uint64_t lsn = 0;
        bool failed = spool_append(spool, &record, false, &lsn) < 0;
        if (!failed) {
            assert_int_equal(lsn, id);
            mqtt_session_stored(&w->session, &m, lsn);
            id++;
        }
        if (!failed && id % 5 && id < LIFE_END)
            continue;
        if (failed || spool_commit(spool, NULL) < 0) {
            while (spool_recover(spool, NULL) < 0)
                ;
            mqtt_session_forget_undurable(&w->session);
            id = (unsigned)spool_durable_lsn(spool);
        }
        for (unsigned end = (unsigned)spool_durable_lsn(spool); durable < end; durable++)
            mqtt_session_answered(&w->session, (uint16_t)durable, durable);
        mqtt_session_trim(&w->session, durable - durable % 10, durable % 20 == 0);
        mqtt_session_keep_learned(&w->session);
    }
}

static void a_failure_anywhere(void **state)
{
    (void)state;
    const int errnums[] = {EIO, ENOSPC};
    for (int i = 0; i < 4; i++) {
        int at = 1;
        for (bool done = false; !done; at += STRIDE) {
            void *inner = NULL;
            uint64_t lsn;
            bool is_lost;
            assert_int_equal(setup(&inner), 0);
            struct world *w = inner;
            struct faulty_spool_fs *fs = &w->spool->fs;
            atomic_store(&fs->fail_errno, errnums[i % 2]);
            atomic_store(&fs->fails_after, i / 2 * 3);
            atomic_store(&fs->fail_at, at);
            /* The next connection tries again: the broker knows the session then. */
            mqtt_session_connected(&w->session, false);
            while (mqtt_session_begin(&w->session, &is_lost, NULL) < 0)
                mqtt_session_connected(&w->session, true);
            see_it_count_up(w);
            live(w);
            done = atomic_load(&fs->fail_at) > 0;
            atomic_store(&fs->fail_at, 0);
            restart(w);
            see_it_count_up(w); /* the file may not say so: then what comes again is stored again */
            assert_known(w, 1, LIFE_END, LIFE_SIZE);
            assert_int_equal(judge(w, LIFE_END, LIFE_SIZE, &lsn), MQTT_DEDUP_STORE);
            begin(w, true, false);
            assert_known(w, 1, LIFE_END, LIFE_SIZE);
            begin(w, false, true); /* lost: nothing is known any more, now or later */
            restart(w);
            assert_int_equal(judge(w, 1, LIFE_SIZE, &lsn), MQTT_DEDUP_STORE);
            assert_int_equal(teardown(&inner), 0);
        }
        print_message("%d operations\n", at - 1);
        assert_true(at > 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(out_of_the_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_session, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_session_and_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(another_broker, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(few_above_qos_0, setup, teardown),
        cmocka_unit_test(a_failure_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
