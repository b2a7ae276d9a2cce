/* Names of the files of a data part (format 3.2). */
#ifndef VARVE_STORAGE_PART_PART_FILES_H
#define VARVE_STORAGE_PART_PART_FILES_H

#define PART_TIMESTAMPS_FILE         "timestamps.bin"
#define PART_VALUES_FILE             "values.bin"
#define PART_INDEX_FILE              "index.bin"
#define PART_METAINDEX_FILE          "metaindex.bin"
#define PART_METADATA_FILE           "metadata.json"
#define PART_MIN_DEDUP_INTERVAL_FILE "min_dedup_interval" /* of releases before 1.90 */

#endif
