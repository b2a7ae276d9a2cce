#include "src/merge_bar.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"

#define LINE_INTERVAL_MS (5 * SECOND_MS)
#define BAR_WIDTH        24
#define BAR_WIDTH_MAX    60
#define LINE_SIZE        256

void merge_bar_init(struct merge_bar *bar, FILE *out)
{
    *bar = (struct merge_bar){.out = out, .is_terminal = isatty(fileno(out)) == 1};
}

/* "1.2 of 2.5 M" and the noun; both in the unit of the larger. */
static void print_amounts(char *dst, size_t size, uint64_t done, uint64_t total, const char *noun)
{
    static const char units[] = " kMGTP";
    double divisor = 1;
    size_t unit = 0;
    while (total / divisor >= 1000 && unit + 2 < sizeof units) {
        divisor *= 1000;
        unit++;
    }
    if (unit)
        snprintf(dst, size, "%.1f of %.1f %c%s", (double)done / divisor, (double)total / divisor, units[unit],
                 noun);
    else
        snprintf(dst, size, "%" PRIu64 " of %" PRIu64 " %s", done, total, *noun == ' ' ? noun + 1 : noun);
}

void merge_bar_text(char *dst, size_t size, const struct storage_merge_progress *p, size_t bar_width)
{
    uint64_t done = p->bytes_done < p->bytes_total ? p->bytes_done : p->bytes_total;
    double share = p->bytes_total ? (double)done / (double)p->bytes_total : 0;
    char bar[BAR_WIDTH_MAX + 4] = "", rows[64], bytes[64], left[48] = "";
    bar_width = bar_width < BAR_WIDTH_MAX ? bar_width : BAR_WIDTH_MAX;
    if (bar_width) {
        size_t filled = (size_t)(share * (double)bar_width);
        bar[0] = '[';
        memset(bar + 1, '#', filled);
        memset(bar + 1 + filled, '-', bar_width - filled);
        memcpy(bar + 1 + bar_width, "] ", 3);
    }
    print_amounts(rows, sizeof rows, p->rows_done < p->rows_total ? p->rows_done : p->rows_total,
                  p->rows_total, " rows");
    print_amounts(bytes, sizeof bytes, done, p->bytes_total, "B");
    if (p->left_ms > 0) {
        int64_t s = (p->left_ms + SECOND_MS - 1) / SECOND_MS;
        if (s >= 3600)
            snprintf(left, sizeof left, ", %" PRId64 ":%02d:%02d left", s / 3600, (int)(s / 60 % 60),
                     (int)(s % 60));
        else
            snprintf(left, sizeof left, ", %d:%02d left", (int)(s / 60), (int)(s % 60));
    }
    snprintf(dst, size, "%.7s: %s%.0f %%, %s, %s%s", p->month, bar, share * 100, rows, bytes, left);
}

void merge_bar_show(struct merge_bar *bar, const struct storage_merge_progress *p)
{
    if (!p->running || !p->month[0])
        return;
    char text[LINE_SIZE];
    merge_bar_text(text, sizeof text, p, bar->is_terminal ? BAR_WIDTH : 0);
    if (bar->is_terminal) {
        size_t len = strlen(text);
        fprintf(bar->out, "\r%s%*s", text, bar->drawn > len ? (int)(bar->drawn - len) : 0, "");
        bar->drawn = len;
    } else {
        int64_t now = clock_monotonic_ms();
        if (now < bar->next_line_ms && strcmp(bar->last_month, p->month) == 0)
            return;
        fprintf(bar->out, "%s\n", text);
        bar->next_line_ms = now + LINE_INTERVAL_MS;
        memcpy(bar->last_month, p->month, sizeof bar->last_month);
    }
    fflush(bar->out);
}

void merge_bar_end(struct merge_bar *bar)
{
    if (bar->drawn)
        fprintf(bar->out, "\r%*s\r", (int)bar->drawn, "");
    bar->drawn = 0;
    fflush(bar->out);
}
