#include "sinks/mqtt/spool_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/base/alloc.h"

void spool_reader_init(struct spool_reader *r, struct spool *spool, uint64_t lsn)
{
    *r = (struct spool_reader){.spool = spool, .next_lsn = lsn, .fd = -1};
}

static void leave_segment(struct spool_reader *r)
{
    if (r->fd >= 0)
        (void)close(r->fd);
    r->fd = -1;
}

void spool_reader_release(struct spool_reader *r)
{
    leave_segment(r);
    buffer_release(&r->bytes);
    free(r->records);
    r->records = NULL;
    r->records_count = r->records_capacity = 0;
}

static void pass_over(struct spool_reader *r, uint64_t to)
{
    r->damaged_total += to - r->next_lsn;
    r->next_lsn = to;
}

/* Bytes from offset on, up to size; fewer at the end of the file. */
static int load(struct spool_reader *r, uint64_t offset, size_t size, struct error *reterr)
{
    buffer_clear(&r->bytes);
    uint8_t *p = buffer_reserve(&r->bytes, size);
    while (r->bytes.len < size) {
        ssize_t n = pread(r->fd, p + r->bytes.len, size - r->bytes.len, (off_t)(offset + r->bytes.len));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(reterr, errno, "spool: cannot read a segment");
        if (n == 0)
            break;
        r->bytes.len += (size_t)n;
    }
    return 0;
}

/* Opens the segment that begins at first. ERR_NOT_FOUND and ERR_CORRUPT: it can't be had. */
static int enter_segment(struct spool_reader *r, uint64_t first, struct error *reterr)
{
    char name[SPOOL_SEGMENT_NAME_SIZE];
    spool_segment_name(first, name);
    r->fd = openat(spool_dir_fd(r->spool), name, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return error_set_errno(reterr, errno, "spool: cannot open %s", name);
    int rc = load(r, 0, SPOOL_SEGMENT_HEADER_SIZE, reterr);
    if (rc == 0 && !spool_segment_parse_header(r->bytes.data, r->bytes.len, first, &r->seed))
        rc = error_set(reterr, ERR_CORRUPT, "spool: the header of %s is damaged", name);
    if (rc < 0) {
        leave_segment(r);
        return rc;
    }
    r->segment = first;
    r->offset = SPOOL_SEGMENT_HEADER_SIZE;
    return 0;
}

/* Passes over records below next_lsn, by their sizes: only where reading begins. */
static int find_first(struct spool_reader *r, uint64_t first, uint64_t end, struct error *reterr)
{
    struct spool_record record;
    size_t size;
    for (uint64_t lsn = first; lsn < r->next_lsn; lsn++) {
        int rc = load(r, r->offset, SPOOL_RECORD_HEADER_SIZE, reterr);
        if (rc < 0)
            return rc;
        (void)spool_record_parse(r->bytes.data, r->bytes.len, r->seed, lsn, &record, &size);
        if (!size) { /* no telling where the next one begins */
            pass_over(r, end);
            leave_segment(r);
            return 0;
        }
        r->offset += size;
    }
    return 0;
}

static void take_records(struct spool_reader *r, uint64_t end)
{
    size_t at = 0, size;
    struct spool_record record;
    while (r->next_lsn < end) {
        enum spool_parse p =
            spool_record_parse(r->bytes.data + at, r->bytes.len - at, r->seed, r->next_lsn, &record, &size);
        if (p != SPOOL_PARSE_OK)
            break;
        GROW(r->records, r->records_count, r->records_capacity);
        r->records[r->records_count++] = record;
        r->next_lsn++;
        at += size;
    }
    r->offset += at;
}

/* No whole record where one has to be: the bytes are damaged, or fewer were read than it has. */
static int pass_damage(struct spool_reader *r, uint64_t end, size_t max_bytes, struct error *reterr)
{
    struct spool_record record;
    size_t size;
    enum spool_parse p =
        spool_record_parse(r->bytes.data, r->bytes.len, r->seed, r->next_lsn, &record, &size);
    if (p == SPOOL_PARSE_SHORT && size > max_bytes) { /* a large one */
        int rc = load(r, r->offset, size, reterr);
        if (rc < 0)
            return rc;
        take_records(r, r->next_lsn + 1);
        if (r->records_count)
            return 0;
        p = spool_record_parse(r->bytes.data, r->bytes.len, r->seed, r->next_lsn, &record, &size);
    }
    if (p == SPOOL_PARSE_DAMAGED && size && size <= r->bytes.len && r->next_lsn + 1 < end) {
        /* If the next record stands right behind it, only this one is lost. */
        size_t next_size;
        if (spool_record_parse(r->bytes.data + size, r->bytes.len - size, r->seed, r->next_lsn + 1, &record,
                               &next_size) == SPOOL_PARSE_OK) {
            r->offset += size;
            pass_over(r, r->next_lsn + 1);
            return 0;
        }
    }
    pass_over(r, end);
    leave_segment(r);
    return 0;
}

int spool_reader_read(struct spool_reader *r, size_t max_bytes, struct error *reterr)
{
    uint64_t first, end;
    bool is_last;
    r->records_count = 0;
    if (!spool_find_segment(r->spool, r->next_lsn, &first, &end, &is_last))
        return 0;
    if (first > r->next_lsn) /* trimmed away, or never there */
        r->next_lsn = first;
    int rc = 0;
    if (r->fd >= 0 && r->segment != first)
        leave_segment(r);
    if (r->fd < 0) {
        rc = enter_segment(r, first, reterr);
        if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND) {
            pass_over(r, end);
            return 0;
        }
        if (rc == 0)
            rc = find_first(r, first, end, reterr);
        if (rc < 0 || r->fd < 0)
            return rc;
    }
    rc = load(r, r->offset, max_bytes, reterr);
    if (rc < 0)
        return rc;
    take_records(r, end);
    if (!r->records_count)
        rc = pass_damage(r, end, max_bytes, reterr);
    return rc < 0 ? rc : (int)r->records_count;
}
