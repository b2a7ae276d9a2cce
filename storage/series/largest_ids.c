#include "storage/series/largest_ids.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/crc32c.h"

#define HEAD              "varve largest ids 1 "
#define MONTH_LINE_LEN    (7 + 1 + 16 + 1 + 16 + 1)
#define LARGEST_BYTES_MAX ((size_t)1 << 20) /* 25,000 months */

void largest_ids_release(struct largest_ids *ids)
{
    free(ids->months);
    *ids = (struct largest_ids){0};
}

void largest_ids_add(struct largest_ids *ids, const char *month, uint64_t parts_hash, uint64_t id)
{
    GROW(ids->months, ids->count, ids->capacity);
    struct largest_id *to = &ids->months[ids->count++];
    *to = (struct largest_id){.parts_hash = parts_hash, .id = id};
    memcpy(to->month, month, MONTH_TEXT_SIZE - 1);
}

bool largest_ids_find(const struct largest_ids *ids, const char *month, uint64_t parts_hash, uint64_t *ret_id)
{
    for (size_t i = 0; i < ids->count; i++) {
        const struct largest_id *m = &ids->months[i];
        if (m->parts_hash != parts_hash || strcmp(m->month, month) != 0)
            continue;
        *ret_id = m->id;
        return true;
    }
    return false;
}

uint64_t largest_ids_parts_hash(const char *const *names, size_t count)
{
    uint64_t hash = count * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < count; i++)
        hash += XXH3_64bits(names[i], strlen(names[i]));
    return hash;
}

void largest_ids_print(const struct largest_ids *ids, struct buffer *dst)
{
    size_t start = dst->len;
    buffer_printf(dst, HEAD "%s %" PRIu64 "\n", ids->store_id, ids->commit);
    for (size_t i = 0; i < ids->count; i++)
        buffer_printf(dst, "%s %016" PRIx64 " %016" PRIx64 "\n", ids->months[i].month,
                      ids->months[i].parts_hash, ids->months[i].id);
    buffer_printf(dst, "%08" PRIx32 "\n", crc32c(0, dst->data + start, dst->len - start));
}

/* --- reading --- */

/* n lower-case hex digits. */
static bool take_hex(const char *p, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] >= '0' && p[i] <= '9')
            v = v << 4 | (uint64_t)(p[i] - '0');
        else if (p[i] >= 'a' && p[i] <= 'f')
            v = v << 4 | (uint64_t)(p[i] - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

static bool take_number(const char *p, const char *end, uint64_t *ret)
{
    uint64_t v = 0;
    if (p == end || (*p == '0' && end - p > 1))
        return false;
    for (; p < end; p++)
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return false;
    *ret = v;
    return true;
}

/* The first line without its newline. */
static bool parse_head(struct largest_ids *ids, const char *p, const char *end)
{
    size_t head = sizeof HEAD - 1;
    uint64_t half;
    if ((size_t)(end - p) < head + LARGEST_IDS_STORE_ID_LEN + 2 || memcmp(p, HEAD, head) != 0)
        return false;
    p += head;
    if (!take_hex(p, 16, &half) || !take_hex(p + 16, 16, &half) || p[LARGEST_IDS_STORE_ID_LEN] != ' ')
        return false;
    memcpy(ids->store_id, p, LARGEST_IDS_STORE_ID_LEN);
    return take_number(p + LARGEST_IDS_STORE_ID_LEN + 1, end, &ids->commit);
}

static bool is_month(const char *p)
{
    for (int i = 0; i < MONTH_TEXT_SIZE - 1; i++)
        if (i == 4 ? p[i] != '_' : p[i] < '0' || p[i] > '9')
            return false;
    return true;
}

static bool parse_month(struct largest_ids *ids, const char *p)
{
    uint64_t hash, id;
    if (!is_month(p) || p[7] != ' ' || !take_hex(p + 8, 16, &hash) || p[24] != ' ' ||
        !take_hex(p + 25, 16, &id) || p[41] != '\n')
        return false;
    if (ids->count && memcmp(ids->months[ids->count - 1].month, p, MONTH_TEXT_SIZE - 1) >= 0)
        return false;
    largest_ids_add(ids, p, hash, id);
    return true;
}

static bool parse(struct largest_ids *ids, const char *text, size_t size)
{
    uint64_t crc;
    if (size < 9 || text[size - 1] != '\n' || !take_hex(text + size - 9, 8, &crc) ||
        crc != crc32c(0, text, size - 9))
        return false;
    const char *end = text + size - 9, *newline = memchr(text, '\n', size - 9);
    if (!newline || !parse_head(ids, text, newline))
        return false;
    const char *p = newline + 1;
    for (; end - p >= MONTH_LINE_LEN; p += MONTH_LINE_LEN)
        if (!parse_month(ids, p))
            return false;
    return p == end;
}

int largest_ids_parse(struct largest_ids *ids, const char *text, size_t size, struct error *reterr)
{
    if (parse(ids, text, size))
        return 0;
    largest_ids_release(ids);
    return error_set(reterr, ERR_CORRUPT, "not a list of largest metric ids, or a damaged one");
}

void largest_ids_read(struct largest_ids *ids, const char *root, const char *store_id, uint64_t commit)
{
    _cleanup_free_ char *path = xasprintf("%s/" FILE_LARGEST_IDS, root);
    struct buffer text = {0};
    if (fs_exists(path) && fs_read_file(path, LARGEST_BYTES_MAX, &text, NULL) == 0 &&
        largest_ids_parse(ids, (const char *)text.data, text.len, NULL) == 0 &&
        (strcmp(ids->store_id, store_id) != 0 || ids->commit > commit))
        largest_ids_release(ids);
    buffer_release(&text);
}

int largest_ids_write(const struct largest_ids *ids, const struct fs *fs, const char *root,
                      struct error *reterr)
{
    _cleanup_free_ char *dir = xasprintf("%s/" DIR_VARVE_CACHE, root);
    _cleanup_free_ char *path = xasprintf("%s/" FILE_LARGEST_IDS, root);
    struct buffer text = {0};
    largest_ids_print(ids, &text);
    int r = fs_make_dirs(fs, dir, true, reterr);
    if (r == 0)
        r = fs_replace_file(fs, path, text.data, text.len, reterr);
    buffer_release(&text);
    return r;
}
