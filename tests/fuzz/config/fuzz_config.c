/* Any bytes are a configuration or a list of errors; the former can be described. */
#include <stdint.h>
#include <stdlib.h>

#include "config/config_describe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    int r = config_read_text(&cfg, "fuzz.yaml", (const char *)data, size, NULL, &errors);
    if ((r == 0) != (cfg != NULL) || (r == 0) != (errors.count == 0))
        abort();
    if (cfg) {
        struct buffer text = {0};
        config_describe(cfg, &text);
        buffer_release(&text);
    }
    config_free(cfg);
    config_errors_release(&errors);
    return 0;
}
