/*
 * Decoders: bytes in, samples out. Pure functions: no I/O, no clock, no allocation per sample, fuzzed.
 * What a payload means is what a stock VictoriaMetrics makes of the same bytes on its ingestion endpoint.
 * A new format is one file and one row in decoders[] (decode.c).
 */
#ifndef VARVE_SINKS_DECODE_DECODE_H
#define VARVE_SINKS_DECODE_DECODE_H

#include "sinks/message.h"

/* Unit of a payload's integer timestamps. AUTO: by their size, as VictoriaMetrics guesses. */
enum time_precision { PRECISION_AUTO, PRECISION_NS, PRECISION_US, PRECISION_MS, PRECISION_S };

struct json_mapping; /* sinks/decode/json_mapping.h: what `json:` says, compiled */

struct decode_options {
    enum time_precision precision;
    const struct json_mapping *json; /* of format json only */
};

enum decode_result {
    DECODE_OK,    /* batch filled; batch->bad_lines says which lines were left out */
    DECODE_REJECT /* the message as a whole can't be decoded; *ret_reason says why; the batch is empty */
};

struct decoder {
    const char *name; /* as in `format:` */

    /* Fills an empty batch from m->payload, which isn't changed and isn't NUL-terminated; an empty one is
     * DECODE_OK without samples (but no number, to `value`). *ret_reason is static text, short, lower case
     * with _: a label value of varve_rejected_total. */
    enum decode_result (*decode)(const struct decode_options *options, const struct message *m,
                                 struct sample_batch *batch, const char **ret_reason);

    /* The labels of the series (key, field) that a sample of this decoder's named. Called on a cache miss
     * only. Returns 0, or ERR_INVALID if they break a limit (then the sample is rejected with *ret_reason).
     */
    int (*labels)(const struct decode_options *options, struct span key, struct span field,
                  struct label_list *ret_labels, const char **ret_reason);

    /* labels puts __name__ last, and there it stays when labels are added: they can't replace it, and it
     * isn't one of those whose number is limited. Stock's way with Influx lines (app/vminsert/influx). */
    bool name_is_apart;

    /* Whether a bad_line means the same when it's decoded alone, as a message. NULL: it doesn't. */
    bool (*line_stands_alone)(const struct decode_options *options);
};

/* The decoder of that name, or NULL. */
const struct decoder *decoder_find(const char *name);
/* Every format name that interface.md fixes, built or not (NULL-terminated): for messages of `varve check`.
 */
extern const char *const decoder_names_known[];

#endif
