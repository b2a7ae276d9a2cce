#include "storage/series/tsid_generate.h"

#include <xxhash.h>

#include "storage/series/metric_name.h"

/* XXH64 of the escaped string at *pos, unescaped; moves past its separator. */
static int hash_string(uint64_t *ret_hash, const uint8_t *data, size_t size, size_t *pos,
                       struct error *reterr)
{
    size_t len;
    bool escapes;
    int r = metric_name_escaped_len(data + *pos, size - *pos, &len, &escapes, reterr);
    if (r < 0)
        return r;
    if (escapes) {
        struct buffer plain = {0};
        metric_name_unescape(&plain, data + *pos, len);
        *ret_hash = XXH64(plain.data, plain.len, 0);
        buffer_release(&plain);
    } else {
        *ret_hash = XXH64(data + *pos, len, 0);
    }
    *pos += len + 1;
    return 0;
}

int tsid_generate(struct tsid *ret_tsid, const uint8_t *canonical, size_t len, uint64_t metric_id,
                  struct error *reterr)
{
    if (len == 0)
        return error_set(reterr, ERR_CORRUPT, "metric name: empty");
    uint64_t group = 0, values[2] = {0, 0};
    size_t pos = 0;
    int r = hash_string(&group, canonical, len, &pos, reterr);
    for (int i = 0; i < 2 && r == 0 && pos < len; i++) {
        uint64_t key;
        r = hash_string(&key, canonical, len, &pos, reterr);
        if (r == 0)
            r = hash_string(&values[i], canonical, len, &pos, reterr);
    }
    if (r < 0)
        return r;
    *ret_tsid = (struct tsid){
        .metric_group_id = group,
        .job_id = (uint32_t)values[0],
        .instance_id = (uint32_t)values[1],
        .metric_id = metric_id,
    };
    return 0;
}
