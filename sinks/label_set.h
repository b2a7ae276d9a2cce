/*
 * The labels that the configuration adds to all series of a source (`labels:`), with what they take from each
 * message: text with the references of message_text.h ($topic, $topic_last, $key, $header:NAME, $1..., "$#").
 *
 * Compiled once, then used by any thread; rendered per message, or per topic where label_set_scope says that
 * this is enough. They win over labels of the payload, as VictoriaMetrics' extra_label does. A label that
 * renders empty is left out.
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
 * right. Free with label_set_free. */
int label_set_compile(struct label_set **ret, const struct label_set_text *texts, size_t count,
                      size_t captures_max, struct error *reterr);
/* NULL is fine. */
void label_set_free(struct label_set *set);

/* For how many messages a rendering holds. */
enum label_scope {
    LABEL_SCOPE_STATIC,  /* all of them; also of a NULL set */
    LABEL_SCOPE_TOPIC,   /* those of one topic: topic, captures and rest are referred to at most */
    LABEL_SCOPE_MESSAGE, /* one: key or headers are referred to */
};
enum label_scope label_set_scope(const struct label_set *set);
/* Whether message.header is ever asked: else a transport needn't parse headers. */
bool label_set_needs_headers(const struct label_set *set);

/* Labels of one message. bytes name the combination: series caches are keyed by them and the payload's own
 * key. A zeroed struct holds none. */
struct rendered_labels {
    struct label *labels; /* point into bytes and into the set */
    size_t count, capacity;
    struct buffer bytes; /* how many labels the set has, then their names and values, each after its length:
                          * so none is the start of another. Empty for no set. */
    const struct label_set *of;
};
void rendered_labels_release(struct rendered_labels *rendered);

/* Fills rendered (reused from message to message, by one thread; set must outlive it). Does nothing if the
 * set is static and rendered holds it already. set may be NULL: no labels. No allocation once grown. */
void label_set_render(const struct label_set *set, const struct message *m, struct rendered_labels *rendered);

#endif
