#include "storage/part/part_sums.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/crc32c.h"

#define PART_SUMS_BYTES_MAX ((size_t)64 << 10)

void part_sums_add(struct part_sums *sums, const char *name, uint64_t size, uint32_t crc)
{
    GROW(sums->items, sums->count, sums->capacity);
    struct part_sum *sum = &sums->items[sums->count++];
    *sum = (struct part_sum){.size = size, .crc = crc};
    snprintf(sum->name, sizeof sum->name, "%s", name);
}

void part_sums_add_file(struct part_sums *sums, const char *name, const struct fs_file *f)
{
    part_sums_add(sums, name, f->size, f->crc);
}

void part_sums_release(struct part_sums *sums)
{
    free(sums->items);
    *sums = (struct part_sums){0};
}

static void append_line(struct buffer *text, const char *name, uint64_t size, uint32_t crc)
{
    buffer_printf(text, "%08" PRIx32 " %" PRIu64 " %s\n", crc, size, name);
}

int part_sums_write(const struct part_sums *sums, const struct fs *fs, const char *dir, struct error *reterr)
{
    struct buffer text = {0};
    for (size_t i = 0; i < sums->count; i++)
        append_line(&text, sums->items[i].name, sums->items[i].size, sums->items[i].crc);
    append_line(&text, PART_SUMS_FILE, text.len, crc32c(0, text.data, text.len));
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, PART_SUMS_FILE);
    int r = fs_write_file(fs, path, text.data, text.len, reterr);
    buffer_release(&text);
    return r;
}

static bool parse_hex32(const char *p, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < 8; i++) {
        char c = p[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

/* One line without its newline: 8 hex digits, space, decimal size, space, plain file name. */
static bool parse_line(struct part_sums *sums, const char *line, size_t len)
{
    uint32_t crc;
    if (len < 12 || !parse_hex32(line, &crc) || line[8] != ' ')
        return false;
    const char *p = line + 9, *end = line + len;
    uint64_t size = 0;
    const char *digits = p;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(size, 10, &size) ||
            __builtin_add_overflow(size, (uint64_t)(*p - '0'), &size))
            return false;
    if (p == digits || p == end || *p++ != ' ')
        return false;
    size_t name_len = (size_t)(end - p);
    if (!name_len || name_len >= PART_SUMS_NAME_MAX || *p == '.' || memchr(p, '/', name_len) ||
        memchr(p, 0, name_len))
        return false;
    char name[PART_SUMS_NAME_MAX];
    memcpy(name, p, name_len);
    name[name_len] = '\0';
    part_sums_add(sums, name, size, crc);
    return true;
}

/* The last line, which vouches for those before it, is whole; takes it off the list. own_start: where it
 * begins. */
static bool take_own_line(struct part_sums *sums, const void *text, size_t own_start)
{
    if (sums->count < 2)
        return false;
    const struct part_sum *own = &sums->items[--sums->count];
    return strcmp(own->name, PART_SUMS_FILE) == 0 && own->size == own_start &&
           own->crc == crc32c(0, text, own_start);
}

int part_sums_parse(struct part_sums *ret, const void *text, size_t size, struct error *reterr)
{
    struct part_sums sums = {0};
    const char *p = text, *end = p + size, *last = p;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (!newline || !parse_line(&sums, p, (size_t)(newline - p))) {
            size_t line = sums.count + 1;
            part_sums_release(&sums);
            return error_set(reterr, ERR_CORRUPT, "line %zu isn't a checksum line", line);
        }
        last = p;
        p = newline + 1;
    }
    if (!take_own_line(&sums, text, (size_t)(last - (const char *)text))) {
        part_sums_release(&sums);
        return error_set(reterr, ERR_CORRUPT, "the last line isn't the sum of those before it");
    }
    *ret = sums;
    return 0;
}

int part_sums_read(struct part_sums *ret, const char *dir, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, PART_SUMS_FILE);
    if (!fs_exists(path))
        return 0;
    struct buffer text = {0};
    int r = fs_read_file(path, PART_SUMS_BYTES_MAX, &text, reterr);
    if (r == ERR_INVALID)
        r = error_set(reterr, ERR_CORRUPT, "%s: damaged file (too large)", path);
    if (r == 0) {
        r = part_sums_parse(ret, text.data, text.len, reterr);
        if (r < 0)
            error_prefix(reterr, r, "%s: damaged file", path);
    }
    buffer_release(&text);
    return r < 0 ? r : 1;
}

static int check_size(const char *path, const struct part_sum *sum, struct error *reterr)
{
    int64_t size = fs_file_size(path);
    if (size < 0)
        return error_set(reterr, ERR_CORRUPT, "%s: damaged part: the file is missing", path);
    if ((uint64_t)size != sum->size)
        return error_set(reterr, ERR_CORRUPT,
                         "%s: damaged file: %" PRId64 " bytes, but %" PRIu64 " were written", path, size,
                         sum->size);
    return 0;
}

static int check_content(const char *path, const struct part_sum *sum, struct error *reterr)
{
    struct fs_map map;
    int r = fs_map_file(&map, path, reterr);
    if (r < 0)
        return r;
    uint32_t crc = crc32c(0, map.data, map.size);
    fs_map_release(&map);
    if (crc != sum->crc)
        return error_set(reterr, ERR_CORRUPT,
                         "%s: damaged file: its checksum is %08" PRIx32 ", but %08" PRIx32 " was written",
                         path, crc, sum->crc);
    return 0;
}

/* Files that opening a part reads whole, of data and index parts alike. */
static bool is_read_at_open(const char *name)
{
    return strcmp(name, "metaindex.bin") == 0 || strcmp(name, "metadata.json") == 0;
}

static int check(const char *dir, bool all_content, struct error *reterr)
{
    struct part_sums sums = {0};
    int present = part_sums_read(&sums, dir, reterr);
    if (present <= 0)
        return present;
    int r = 0;
    for (size_t i = 0; r == 0 && i < sums.count; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, sums.items[i].name);
        r = check_size(path, &sums.items[i], reterr);
        if (r == 0 && (all_content || is_read_at_open(sums.items[i].name)))
            r = check_content(path, &sums.items[i], reterr);
    }
    part_sums_release(&sums);
    return r < 0 ? r : 1;
}

int part_sums_check_at_open(const char *dir, struct error *reterr)
{
    int r = check(dir, false, reterr);
    return r < 0 ? r : 0;
}

int part_sums_verify(const char *dir, struct error *reterr)
{
    return check(dir, true, reterr);
}
