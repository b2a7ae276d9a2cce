/*
 * The labels that the configuration adds to all series of a source (`labels:`), with what they take from each
 * message: text with $topic, $topic_last, $key, $header:NAME, $1..., "$#"; $$ is a dollar.
 *
 * Compiled once, rendered per message; a set without references renders once. They win over labels of the
 * payload, as VictoriaMetrics' extra_label does. A label that renders empty is left out.
 */
#ifndef VARVE_SINKS_LABEL_SET_H
#define VARVE_SINKS_LABEL_SET_H

#include "sinks/message.h"
#include "src/base/error.h"

struct label_set;

struct label_set_text {
    const char *name;
    const char *value; /* with references */
};

/* captures_max: the largest $n that the source can fill. ERR_INVALID names the label, and what would be
 * right. */
int label_set_compile(struct label_set **ret, const struct label_set_text *texts, size_t count,
                      size_t captures_max, struct error *reterr);
/* NULL is fine. */
void label_set_free(struct label_set *set);

/* Labels of one message. hash and bytes name the combination: series caches are keyed by them beside the
 * payload's own key. */
struct rendered_labels {
    struct label *labels;
    size_t count, capacity;
    struct buffer bytes; /* what the labels point into; names and values, length-prefixed, in order */
    uint64_t hash;       /* XXH3 of bytes; 0 for no labels */
};
void rendered_labels_release(struct rendered_labels *rendered);

/* Fills rendered (reused from message to message, by one thread). Does nothing if the set is static and
 * rendered holds it already. set may be NULL: no labels. */
void label_set_render(const struct label_set *set, const struct message *m, struct rendered_labels *rendered);

#endif
