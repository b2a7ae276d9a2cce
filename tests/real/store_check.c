/*
 * store_check - is this what a store may be after a power loss?
 *
 *   store_check STORE LOW HIGH OPENED [AGREED]
 * LOW: the last position that was said to be durable; HIGH: how far rows were handed over; OPENED 0: the
 * store had never been open, so there may be none. The directory must
 *   - be readable through its journal: a position of [LOW, HIGH], exactly the rows before it, no damaged
 * part;
 *   - hold the guard if it holds a journal, so that no stock server looks at it;
 *   - be recovered to the same, cleanly;
 *   - take more rows after that, and keep them.
 * AGREED: the position of the last commit that a verdict was given for; then the store is at that one after
 * its next opening. It's changed by this. Prints the position found and exits with 0, or says what is wrong
 * and exits with 1.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/search/inspect.h"
#include "storage/store_dir.h"
#include "tests/real/powercut_messages.h"

#define MORE_MESSAGES 7

static struct error error;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(1);
}

static void damaged(void *context, const char *part_dir, const struct error *reason)
{
    fail("%s: %s is damaged: %s", (const char *)context, part_dir, reason->message);
}

/* Reads the directory without changing it. */
static uint64_t look(const char *dir, const char *when, bool *ret_clean)
{
    struct inspection in;
    uint64_t position;
    if (inspection_open(&in, dir, &error) < 0)
        fail("%s: inspect: %s", when, error.message);
    *ret_clean = in.clean;
    if (position_in_table(&in.view.state.positions, &position, &error) < 0)
        fail("%s: inspect: %s", when, error.message);
    inspection_release(&in);
    struct reader *r;
    if (reader_open_dir(&r, dir, &error) < 0)
        fail("%s: cannot be read: %s", when, error.message);
    if (check_messages(r, position, &error) < 0)
        fail("%s: position %" PRIu64 ": %s", when, position, error.message);
    uint64_t parts;
    int r2 = store_verify(dir, damaged, (void *)(uintptr_t)when, &parts, &error);
    if (r2 < 0)
        fail("%s: verify: %s", when, error.message);
    return position;
}

static enum storage_verdict verdict(void *context, const struct storage_prepared *p)
{
    const uint64_t *agreed = context;
    return p->positions->entries[0].position.next == *agreed ? STORAGE_COMMIT : STORAGE_DISCARD;
}

/* position: of the last commit that was made. */
static void go_on(const char *dir, uint64_t position)
{
    struct storage_options options = message_store_options(dir);
    options.hooks.context = &position;
    options.hooks.verdict = verdict;
    struct storage *st;
    if (storage_open(&st, &options, &error) < 0)
        fail("open: %s", error.message);
    for (int i = 0; storage_undecided_ms(st) >= 0; i++) {
        if (i == 5000)
            fail("open: the verdict isn't carried out");
        clock_sleep_ms(2);
    }
    struct storage_position now = {0};
    (void)storage_position(st, MESSAGE_SOURCE, strlen(MESSAGE_SOURCE), &now);
    if (now.next != position)
        fail("open: position %" PRIu64 " instead of %" PRIu64, now.next, position);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, position, position + MORE_MESSAGES);
    storage_writer_free(w);
    if (storage_flush(st, -1, &error) < 0)
        fail("flush: %s", error.message);
    if (check_messages(reader_new(st), position + MORE_MESSAGES, &error) < 0)
        fail("after a further commit: %s", error.message);
    if (storage_close(st, &error) < 0)
        fail("close: %s", error.message);
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: store_check STORE LOW HIGH OPENED [AGREED]\n");
        return 64;
    }
    const char *dir = argv[1];
    uint64_t low = strtoull(argv[2], NULL, 10), high = strtoull(argv[3], NULL, 10), position = 0;
    bool opened = strtol(argv[4], NULL, 10) != 0, clean;
    _cleanup_free_ char *journal = xasprintf("%s/" FILE_JOURNAL, dir);
    _cleanup_free_ char *guard = xasprintf("%s/" FILE_GUARD, dir);
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, dir);

    if (opened || (store_dir_is_store(dir) && fs_exists(checkpoint))) {
        if (fs_exists(journal) && !fs_exists(guard))
            fail("a journal without the guard");
        position = look(dir, "as found", &clean);
        if (position < low || position > high)
            fail("position %" PRIu64 " is not in [%" PRIu64 ", %" PRIu64 "]", position, low, high);
        if (storage_recover(dir, &error) < 0)
            fail("recover: %s", error.message);
        uint64_t after = look(dir, "recovered", &clean);
        if (after != position || !clean)
            fail("recovered to position %" PRIu64 " from %" PRIu64 "%s", after, position,
                 clean ? "" : ", not clean");
    }
    if (argc == 6)
        position = strtoull(argv[5], NULL, 10);
    go_on(dir, position);
    if (look(dir, "after a clean stop", &clean) != position + MORE_MESSAGES || !clean)
        fail("a further commit was lost");
    printf("%" PRIu64 "\n", position);
    return 0;
}
