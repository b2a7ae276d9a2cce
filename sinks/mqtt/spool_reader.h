/* Reads a spool's durable records in their order, while it's being written. One thread. */
#ifndef VARVE_SINKS_MQTT_SPOOL_READER_H
#define VARVE_SINKS_MQTT_SPOOL_READER_H

#include "sinks/mqtt/spool.h"

struct spool_reader {
    struct spool *spool;
    uint64_t next_lsn;      /* of the next record */
    uint64_t damaged_total; /* records that were durable and can't be read any more */
    int fd;
    uint64_t segment, offset;
    uint32_t seed;
    struct buffer bytes;
    struct spool_record *records; /* of the last read; they borrow from bytes */
    size_t records_count, records_capacity;
};

/* Begins at lsn; what is older than the oldest record is passed over. */
void spool_reader_init(struct spool_reader *r, struct spool *spool, uint64_t lsn);
void spool_reader_release(struct spool_reader *r);

/* Reads the durable records that follow, about max_bytes of them, and moves next_lsn behind them (and over
 * damaged ones, counted). Returns their number; 0 with next_lsn moved means that only damage was passed. */
int spool_reader_read(struct spool_reader *r, size_t max_bytes, struct error *reterr);

#endif
