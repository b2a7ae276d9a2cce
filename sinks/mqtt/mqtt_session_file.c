#include "sinks/mqtt/mqtt_session_file.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"

#define MAGIC       "varvese1"
#define HEADER_SIZE 40
#define ITEM_SIZE   12
#define CRC_SIZE    4

void mqtt_session_state_release(struct mqtt_session_state *state)
{
    free(state->items);
    *state = (struct mqtt_session_state){0};
}

void mqtt_session_encode(struct buffer *dst, const struct mqtt_session_state *state)
{
    size_t size = HEADER_SIZE + state->items_count * ITEM_SIZE + CRC_SIZE;
    uint8_t *begin = buffer_reserve(dst, size), *p = begin;
    memset(p, 0, HEADER_SIZE);
    memcpy(p, MAGIC, 8);
    put_le64(p + 8, state->identity);
    put_le64(p + 16, state->first_lsn);
    put_le64(p + 24, state->end_lsn);
    p[32] = state->counts_up;
    put_le32(p + 36, (uint32_t)state->items_count);
    p += HEADER_SIZE;
    for (size_t i = 0; i < state->items_count; i++, p += ITEM_SIZE) {
        put_le16(p, state->items[i].packet_id);
        put_le16(p + 2, state->items[i].qos);
        put_le64(p + 4, state->items[i].hash);
    }
    put_le32(p, crc32c(0, begin, size - CRC_SIZE));
    dst->len += size;
}

static bool parse_item(const uint8_t *p, struct mqtt_dedup_item *ret)
{
    uint16_t qos = get_le16(p + 2);
    *ret = (struct mqtt_dedup_item){.packet_id = get_le16(p), .qos = (uint8_t)qos, .hash = get_le64(p + 4)};
    return ret->packet_id && (qos == 1 || qos == 2);
}

bool mqtt_session_parse(const uint8_t *data, size_t size, struct mqtt_session_state *ret)
{
    if (size < HEADER_SIZE + CRC_SIZE || memcmp(data, MAGIC, 8) != 0 || data[32] > 1)
        return false;
    uint32_t count = get_le32(data + 36);
    if (count > MQTT_DEDUP_WINDOW || size != HEADER_SIZE + (size_t)count * ITEM_SIZE + CRC_SIZE ||
        get_le32(data + size - CRC_SIZE) != crc32c(0, data, size - CRC_SIZE))
        return false;
    struct mqtt_session_state state = {.identity = get_le64(data + 8),
                                       .first_lsn = get_le64(data + 16),
                                       .end_lsn = get_le64(data + 24),
                                       .counts_up = data[32],
                                       .items = xcalloc(count ? count : 1, sizeof *state.items),
                                       .items_count = count};
    for (size_t i = 0; i < count; i++) {
        if (!parse_item(data + HEADER_SIZE + i * ITEM_SIZE, &state.items[i])) {
            mqtt_session_state_release(&state);
            return false;
        }
    }
    *ret = state;
    return true;
}
