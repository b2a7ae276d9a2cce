#include "sinks/sample_batch.h"

#include <stdlib.h>

#include "src/base/alloc.h"

void sample_batch_clear(struct sample_batch *batch)
{
    batch->samples_count = 0;
    batch->groups_count = 0;
    batch->bad_lines_count = 0;
    batch->dropped_nan = 0;
    buffer_clear(&batch->scratch);
}

void sample_batch_release(struct sample_batch *batch)
{
    free(batch->samples);
    free(batch->groups);
    free(batch->bad_lines);
    buffer_release(&batch->scratch);
    *batch = (struct sample_batch){0};
}

void label_list_clear(struct label_list *list)
{
    list->count = 0;
    buffer_clear(&list->scratch);
}

void label_list_release(struct label_list *list)
{
    free(list->labels);
    buffer_release(&list->scratch);
    *list = (struct label_list){0};
}

void label_list_add(struct label_list *list, struct span name, struct span value)
{
    GROW(list->labels, list->count, list->capacity);
    list->labels[list->count++] = (struct label){name, value};
}
