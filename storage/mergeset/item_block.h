/*
 * One block of an index part: up to 65,536 bytes of sorted items, as two byte strings and a header
 * (format 7.1 and 7.2; VictoriaMetrics lib/mergeset/encoding.go, block_header.go).
 *
 *   block header in index.bin
 *     bytes commonPrefix   uv length, then the bytes; empty for a single item
 *     bytes firstItem      complete, with the prefix
 *     u8    marshal type   0 plain, 1 zstd
 *     u32   items count    with the first item; > 0
 *     u64   items offset   in items.bin
 *     u64   lens offset    in lens.bin
 *     u32   items size     <= 131,072
 *     u32   lens size      <= 1,048,576
 *
 *   "rest" is an item without the common prefix.
 *   plain  items: rests of items 2..n;  lens: u64 length of each rest
 *   zstd   items: zstd of what each rest adds to the one before it;  lens: zstd of n-1 times
 *          uv(prefix length XOR the one before), then n-1 times uv(rest length XOR the one before)
 *
 * Pure functions over bytes. Decoding trusts nothing.
 */
#ifndef VARVE_STORAGE_MERGESET_ITEM_BLOCK_H
#define VARVE_STORAGE_MERGESET_ITEM_BLOCK_H

#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/mergeset/items.h"

/* Most bytes of items that a writer puts into a block. */
#define ITEM_BLOCK_BYTES_MAX 65536u
/* What readers accept, as the servers do. */
#define ITEM_BLOCK_ITEMS_SIZE_MAX 131072u
#define ITEM_BLOCK_LENS_SIZE_MAX  1048576u
/* Decoded: no writer passes 65,536 bytes; the double leaves room for one that counts otherwise. */
#define ITEM_BLOCK_DECODED_MAX 131072u
#define ITEM_BLOCK_COUNT_MAX   131072u

enum item_marshal_type {
    ITEM_MARSHAL_PLAIN = 0, /* on disk */
    ITEM_MARSHAL_ZSTD = 1,  /* on disk */
};

struct item_block_header {
    struct item common_prefix; /* borrowed */
    struct item first_item;    /* borrowed */
    uint8_t marshal_type;
    uint32_t items_count;
    uint64_t items_offset;
    uint64_t lens_offset;
    uint32_t items_size;
    uint32_t lens_size;
};

/* Scratch memory that outlives single blocks. Zeroed is empty; release frees. One thread at a time. */
struct item_block_codec {
    struct buffer items; /* uncompressed items data */
    struct buffer lens;  /* uncompressed lens data */
    struct buffer more_lens;
    uint32_t *numbers; /* of decoding: prefix lengths, then lengths */
    size_t numbers_capacity;
};
void item_block_codec_release(struct item_block_codec *codec);

/* Encodes all items of the sorted, non-empty list into items_data and lens_data (both cleared first) and
 * fills *ret_header but for its offsets. The header borrows from the list. level: zstd's. */
void item_block_encode(struct item_block_codec *codec, const struct items *items, int level,
                       struct buffer *items_data, struct buffer *lens_data,
                       struct item_block_header *ret_header);

/* Decodes a block into dst (cleared first): items in order, checked. items_data has header->items_size bytes,
 * lens_data header->lens_size. ERR_CORRUPT, without a file's name, on anything that breaks the format. */
int item_block_decode(struct item_block_codec *codec, struct items *dst,
                      const struct item_block_header *header, const uint8_t *items_data,
                      const uint8_t *lens_data, struct error *reterr);

void item_block_header_put(struct buffer *dst, const struct item_block_header *header);
/* Reads and checks one header at *pos of raw and moves *pos past it. The result borrows from raw. */
int item_block_header_get(struct item_block_header *ret_header, const uint8_t *raw, size_t size, size_t *pos,
                          struct error *reterr);

/* zstd level by the number of items that a merge reads (format 7.2). */
int item_compress_level(uint64_t items_count);

#endif
