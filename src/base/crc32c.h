/* CRC32C (Castagnoli), of part files (varve.sums), journal records and spool records. */
#ifndef VARVE_BASE_CRC32C_H
#define VARVE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 at the start) over size bytes. Uses SSE4.2 where the processor has it. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

#endif
