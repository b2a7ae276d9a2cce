/* A sink for tests that need its inside and no broker. */
#ifndef VARVE_TESTS_KAFKA_FIXTURE_H
#define VARVE_TESTS_KAFKA_FIXTURE_H

#include "sinks/kafka/kafka_internal.h"
#include "tests/doubles/batch_catcher.h"

/* Sink "plant" of topic "metrics", whose broker can't be reached; not started. Initialises the catcher, which
 * the caller releases after the sink. */
struct sink *kafka_fixture_new(struct batch_catcher *catcher, unsigned threads);

#endif
