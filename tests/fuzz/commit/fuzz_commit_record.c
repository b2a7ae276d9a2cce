/* A commit record's payload: what decodes must, encoded again, decode to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "storage/commit/commit_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct commit_record record = {0}, again = {0};
    struct buffer bytes = {0}, second = {0};
    struct error error;
    if (commit_record_decode(&record, data, size, &error) < 0)
        return 0;
    for (size_t i = 0; i < record.parts_count; i++)
        if (record.parts[i].place >= PART_PLACES || strlen(record.parts[i].month) != MONTH_TEXT_SIZE - 1 ||
            strlen(record.parts[i].name) != PART_NAME_TEXT_SIZE - 1)
            abort();
    commit_record_encode(&record, &bytes);
    if (bytes.len > size || commit_record_decode(&again, bytes.data, bytes.len, &error) < 0)
        abort();
    commit_record_encode(&again, &second);
    if (bytes.len != second.len || memcmp(bytes.data, second.data, bytes.len) != 0)
        abort();
    commit_record_release(&record);
    commit_record_release(&again);
    buffer_release(&bytes);
    buffer_release(&second);
    return 0;
}
