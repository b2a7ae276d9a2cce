/* A directory of a test's own, named after its place in the source, removed at the end. */
#ifndef VARVE_TESTS_DOUBLES_TEMP_DIR_H
#define VARVE_TESTS_DOUBLES_TEMP_DIR_H

/* A new empty directory; to be given to temp_dir_remove. */
char *temp_dir_make(const char *file, int line);
#define TEMP_DIR() temp_dir_make(__FILE__, __LINE__)
/* A copy of dir, which nobody is writing to; to be given to temp_dir_remove. */
char *temp_dir_copy(const char *dir);
/* Removes it with all that's in it, and frees the name. */
void temp_dir_remove(char *dir);

#endif
