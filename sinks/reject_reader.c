#include "sinks/reject_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sinks/reject_segment.h"
#include "src/base/alloc.h"

struct reject_reader {
    int dir_fd;
    uint64_t *starts;
    size_t starts_count, next_start;
    struct reject_segment_data segment;
    size_t at;         /* of the next entry in segment.data */
    uint64_t sequence; /* of the next entry */
    uint64_t damaged;
};

int reject_reader_open(const char *dir, struct reject_reader **ret, struct error *reterr)
{
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return error_set_errno(reterr, errno, "reject log: cannot open %s", dir);
    struct reject_reader *reader = xcalloc(1, sizeof *reader);
    reader->dir_fd = dir_fd;
    int r = reject_segment_list(dir_fd, &reader->starts, &reader->starts_count, reterr);
    if (r < 0) {
        reject_reader_close(reader);
        return r;
    }
    *ret = reader;
    return 0;
}

void reject_reader_close(struct reject_reader *reader)
{
    if (!reader)
        return;
    reject_segment_data_release(&reader->segment);
    free(reader->starts);
    close(reader->dir_fd);
    free(reader);
}

void reject_reader_seek(struct reject_reader *reader, uint64_t offset)
{
    while (reader->next_start + 1 < reader->starts_count && reader->starts[reader->next_start + 1] <= offset)
        reader->next_start++;
}

/* 1 if another segment is open now, 0 at the end. */
static int next_segment(struct reject_reader *reader, struct error *reterr)
{
    reject_segment_data_release(&reader->segment);
    while (reader->next_start < reader->starts_count) {
        struct error error;
        int r = reject_segment_read(reader->dir_fd, reader->starts[reader->next_start++], &reader->segment,
                                    &error);
        if (r == 0) {
            reader->at = REJECT_SEGMENT_HEADER_SIZE;
            reader->sequence = reader->segment.first_sequence;
            return 1;
        }
        if (r == ERR_NOT_FOUND) /* rotated away in the meantime */
            continue;
        if (r != ERR_CORRUPT)
            return error_set(reterr, r, "%s", error.message);
        reader->damaged++;
    }
    return 0;
}

int reject_reader_next(struct reject_reader *reader, struct reject_entry *ret, struct error *reterr)
{
    for (;;) {
        if (reader->segment.data) {
            const struct reject_segment_data *s = &reader->segment;
            size_t n = reject_entry_parse(s->data + reader->at, s->size - reader->at, reader->sequence, ret);
            if (n) {
                reader->at += n;
                reader->sequence++;
                return 1;
            }
            reader->damaged += reader->at < s->size;
        }
        int r = next_segment(reader, reterr);
        if (r <= 0)
            return r;
    }
}

uint64_t reject_reader_offset(const struct reject_reader *reader)
{
    return reader->segment.data ? reader->segment.start + (reader->at - REJECT_SEGMENT_HEADER_SIZE) : 0;
}

uint64_t reject_reader_damaged(const struct reject_reader *reader)
{
    return reader->damaged;
}
