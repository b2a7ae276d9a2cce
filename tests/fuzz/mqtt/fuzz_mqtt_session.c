/* Any bytes as the file `session`: reading never leaves them, and what is taken for a state is written the
 * same way again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/mqtt/mqtt_session_file.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void parse(const uint8_t *data, size_t size)
{
    struct mqtt_session_state state;
    if (!mqtt_session_parse(data, size, &state))
        return;
    require(size <= MQTT_SESSION_SIZE_MAX);
    struct buffer again = {0};
    mqtt_session_encode(&again, &state);
    struct mqtt_session_state same;
    require(again.len == size && mqtt_session_parse(again.data, again.len, &same));
    require(same.identity == state.identity && same.first_lsn == state.first_lsn &&
            same.end_lsn == state.end_lsn && same.counts_up == state.counts_up &&
            same.items_count == state.items_count);
    struct mqtt_dedup *ring = mqtt_dedup_new();
    for (size_t i = 0; i < state.items_count; i++) {
        const struct mqtt_dedup_item *a = &state.items[i], *b = &same.items[i];
        require(a->hash == b->hash && a->packet_id == b->packet_id && a->qos == b->qos);
        struct mqtt_dedup_message m = {
            .hash = a->hash, .packet_id = a->packet_id, .qos = a->qos, .dup = true};
        uint64_t lsn;
        mqtt_dedup_restore(ring, &m, i + 1);
        require(mqtt_dedup_judge(ring, &m, &lsn) != MQTT_DEDUP_STORE && lsn == i + 1);
    }
    mqtt_dedup_free(ring);
    mqtt_session_state_release(&same);
    mqtt_session_state_release(&state);
    buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    if (size < 44)
        return 0;
    uint8_t *mended = malloc(size); /* so that inputs get behind the checksum */
    memcpy(mended, data, size);
    memcpy(mended, "varvese1", 8);
    put_le32(mended + 36, (uint32_t)((size - 44) / 12));
    put_le32(mended + size - 4, crc32c(0, mended, size - 4));
    parse(mended, size);
    free(mended);
    return 0;
}
