/*
 * Text with references to a message's surroundings, as `labels:` and the `name:` of `json:` have it: $topic,
 * $topic_last (what stands after the topic's last / or, where there is none, its last .), $key, $header:NAME,
 * $1..., "$#"; $$ is a dollar. ${topic}, ${1}, ${header:NAME} are the same with an end of their own; a ${...}
 * that starts with a dollar is a path into the payload, which whoever renders it resolves.
 *
 * Compiled once, then read by any thread.
 */
#ifndef VARVE_SINKS_MESSAGE_TEXT_H
#define VARVE_SINKS_MESSAGE_TEXT_H

#include "sinks/message.h"
#include "src/base/error.h"

/* What a text refers to, as bits. */
enum message_reference {
    MESSAGE_TOPIC = 1 << 0, /* topic, captures and rest: the same for all messages of a topic */
    MESSAGE_KEY = 1 << 1,
    MESSAGE_HEADER = 1 << 2,
    MESSAGE_PATH = 1 << 3,
};

enum message_piece_kind {
    PIECE_TEXT,
    PIECE_TOPIC,
    PIECE_TOPIC_LAST,
    PIECE_KEY,
    PIECE_HEADER,
    PIECE_CAPTURE,
    PIECE_REST,
    PIECE_PATH,
};

struct message_piece {
    enum message_piece_kind kind;
    char *text;     /* of PIECE_TEXT; the header's name; the path, NUL-terminated. Owned. */
    size_t len;     /* of text */
    size_t capture; /* from 0 */
};

struct message_text {
    struct message_piece *pieces;
    size_t count, capacity;
    unsigned references;
};

/* captures_max: the largest $n that the source can fill; allowed: bits of enum message_reference. ERR_INVALID
 * says what is wrong and what would be right; *ret is empty then. Release with message_text_release. */
int message_text_compile(struct message_text *ret, const char *text, size_t captures_max, unsigned allowed,
                         struct error *reterr);
void message_text_release(struct message_text *text);

/* What one piece stands for; empty where the message doesn't have it, and for PIECE_PATH. Borrowed from the
 * message or the piece. */
struct span message_piece_value(const struct message_piece *piece, const struct message *m);

/* The part of a topic after its last separator. */
struct span message_topic_last(struct span topic);

#endif
