/* parts.json of both kinds: names are plain file names, and what is written again is read again. */
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/partition/parts_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->names[i];
        if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            strchr(name, '"'))
            abort();
    }
}

static void check_data(const char *text, size_t size)
{
    struct name_list small = {0}, big = {0}, small2 = {0}, big2 = {0};
    struct buffer out = {0};
    struct error error;
    if (parts_json_parse_data(text, size, &small, &big, &error) == 0) {
        check_names(&small);
        check_names(&big);
        parts_json_print_data(&out, &small, &big);
        if (parts_json_parse_data((const char *)out.data, out.len, &small2, &big2, &error) < 0 ||
            small.count != small2.count || big.count != big2.count)
            abort();
    }
    name_list_release(&small);
    name_list_release(&big);
    name_list_release(&small2);
    name_list_release(&big2);
    buffer_release(&out);
}

static void check_index(const char *text, size_t size)
{
    struct name_list names = {0}, again = {0};
    struct buffer out = {0};
    struct error error;
    if (parts_json_parse_index(text, size, &names, &error) == 0) {
        check_names(&names);
        parts_json_print_index(&out, &names);
        if (parts_json_parse_index((const char *)out.data, out.len, &again, &error) < 0 ||
            names.count != again.count)
            abort();
        for (size_t i = 0; i < names.count; i++)
            if (!name_list_has(&again, names.names[i]))
                abort();
    }
    name_list_release(&names);
    name_list_release(&again);
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmemdup(data, size);
    check_data(text, size);
    check_index(text, size);
    free(text);
    return 0;
}
