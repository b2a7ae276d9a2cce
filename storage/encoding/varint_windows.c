#include "storage/encoding/varint_windows.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static struct varint_window windows[256];
static pthread_once_t windows_once = PTHREAD_ONCE_INIT;

static void fill_windows(void)
{
    for (unsigned mask = 0; mask < 256; mask++) {
        struct varint_window *w = &windows[mask];
        memset(w->shuffle, 0x80, sizeof w->shuffle);
        unsigned i = 0;
        while (i < 8) {
            bool is_two = mask >> i & 1;
            if (is_two && (i == 7 || (mask >> (i + 1) & 1)))
                break;
            w->shuffle[2 * w->count] = (uint8_t)i;
            if (is_two)
                w->shuffle[2 * w->count + 1] = (uint8_t)(i + 1);
            w->count++;
            i += 1 + is_two;
        }
        w->bytes = (uint8_t)i;
    }
}

const struct varint_window *varint_windows(void)
{
    (void)pthread_once(&windows_once, fill_windows);
    return windows;
}
