#include "storage/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/snapshot.h"

#define GUARD_BYTES_MAX 4096

int store_dir_lock(const char *root, bool shared, int *ret_fd, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/" FILE_LOCK, root);
    int fd = open(path, shared ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        if (shared && errno == ENOENT) { /* a snapshot, or a copy of a store: nobody can be running on it */
            *ret_fd = -1;
            return 0;
        }
        return error_set_errno(reterr, errno, "%s: cannot open", path);
    }
    if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
        int r = errno == EWOULDBLOCK
                    ? error_set(reterr, ERR_BUSY,
                                "%s: another server is running on this directory (it holds " FILE_LOCK
                                "); stop it first",
                                root)
                    : error_set_errno(reterr, errno, "%s: cannot lock", path);
        (void)close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static void id_to_text(const uint8_t id[STORE_ID_BYTES], char text[2 * STORE_ID_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < STORE_ID_BYTES; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    text[2 * STORE_ID_BYTES] = '\0';
}

static char *guard_text(const uint8_t id[STORE_ID_BYTES])
{
    char text[2 * STORE_ID_BYTES + 1];
    id_to_text(id, text);
    return xasprintf(FILE_GUARD_TEXT "%s\n", text);
}

/* Whose guard stands there: 0 for this store's, ERR_INVALID for an unfinished vmrestore or another store's.
 * ERR_NOT_FOUND without one.
 */
static int check_guard(const char *root, const struct store_view *view, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/" FILE_GUARD, root);
    struct buffer text = {0};
    if (!fs_exists(path))
        return ERR_NOT_FOUND;
    int r = fs_read_file(path, GUARD_BYTES_MAX, &text, reterr);
    if (r == 0 && strncmp(buffer_cstr(&text), FILE_GUARD_TEXT, strlen(FILE_GUARD_TEXT)) != 0)
        r = error_set(reterr, ERR_INVALID,
                      "%s: an unfinished vmrestore; finish it (run vmrestore again) or delete the file if "
                      "the data is whole",
                      path);
    _cleanup_free_ char *ours = guard_text(view->state.store_id);
    if (r == 0 && (!view->has_checkpoint || strcmp(buffer_cstr(&text), ours) != 0))
        r = error_set(reterr, ERR_INVALID,
                      "%s: it's not the guard of the store in this directory (varve/checkpoint is missing or "
                      "another's); "
                      "was it copied from elsewhere?",
                      path);
    buffer_release(&text);
    return r;
}

static int write_guard(const struct fs *fs, const char *root, const uint8_t id[STORE_ID_BYTES],
                       struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/" FILE_GUARD, root);
    _cleanup_free_ char *content = guard_text(id);
    return fs_replace_file(fs, path, content, strlen(content), reterr);
}

/* Commits rename parts from varve/ to data/: that works on one file system only. */
static int check_one_file_system(const char *root, struct error *reterr)
{
    _cleanup_free_ char *varve = xasprintf("%s/" DIR_VARVE, root);
    _cleanup_free_ char *data = xasprintf("%s/" DIR_DATA, root);
    struct stat a, b;
    if (stat(varve, &a) < 0 || stat(data, &b) < 0)
        return error_set_errno(reterr, errno, "%s: cannot look at varve/ and data/", root);
    if (a.st_dev != b.st_dev)
        return error_set(reterr, ERR_INVALID, "%s and %s must be on one file system", varve, data);
    return 0;
}

/* A process that was killed may have left names that are to be seen but not on disk: what is written from now
 * on relies on them. */
static int sync_layout(const struct fs *fs, const char *root, struct error *reterr)
{
    static const char *const dirs[] = {"",
                                       "/" DIR_VARVE,
                                       "/" DIR_DATA,
                                       "/" DIR_DATA "/" DIR_SMALL,
                                       "/" DIR_DATA "/" DIR_BIG,
                                       "/" DIR_DATA "/" DIR_INDEX,
                                       "/" DIR_METADATA};
    _cleanup_free_ char *parent = xasprintf("%s/..", root);
    /* It need not be ours to open; then it isn't we who made root. */
    (void)fs->ops->sync_dir(fs, parent, NULL);
    int r = 0;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && r == 0; i++) {
        _cleanup_free_ char *dir = xasprintf("%s%s", root, dirs[i]);
        r = fs->ops->sync_dir(fs, dir, reterr);
    }
    return r;
}

static int make_layout(const struct fs *fs, const char *root, struct error *reterr)
{
    static const char *const dirs[] = {DIR_VARVE, DIR_DATA "/" DIR_SMALL, DIR_DATA "/" DIR_BIG,
                                       DIR_DATA "/" DIR_INDEX, DIR_METADATA};
    int r = 0;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && r == 0; i++) {
        _cleanup_free_ char *dir = xasprintf("%s/%s", root, dirs[i]);
        r = fs_make_dirs(fs, dir, true, reterr);
    }
    if (r == 0)
        r = check_one_file_system(root, reterr);
    if (r == 0)
        r = sync_layout(fs, root, reterr);
    if (r < 0)
        return r;
    /* Zero: composite index rows may be used for all of time (format 2.4). */
    _cleanup_free_ char *composite = xasprintf("%s/" FILE_COMPOSITE, root);
    static const uint8_t zero[8];
    if (!fs_exists(composite))
        r = fs_replace_file(fs, composite, zero, sizeof zero, reterr);
    /* A stock server's cached answers don't know of what we add (format 2.5). */
    _cleanup_free_ char *cache = xasprintf("%s/" DIR_CACHE, root);
    _cleanup_free_ char *reset = xasprintf("%s/" FILE_CACHE_RESET, root);
    if (r == 0 && fs_is_dir(cache) && !fs_exists(reset))
        r = fs_replace_file(fs, reset, "", 0, reterr);
    return r;
}

static int acquire_locked(const struct fs *fs, const char *root, struct store_view *view, bool *ret_new_guard,
                          struct error *reterr)
{
    _cleanup_free_ char *guard_path = xasprintf("%s/" FILE_GUARD, root);
    struct error guard_error = {0};
    /* An unfinished restore explains whatever else is odd, so it's named first. */
    int r = store_view_load(view, root, reterr);
    int guard = check_guard(root, view, &guard_error);
    if (guard < 0 && guard != ERR_NOT_FOUND) {
        if (reterr)
            *reterr = guard_error;
        return guard;
    }
    if (r == 0)
        r = make_layout(fs, root, reterr);
    if (r < 0)
        return r;
    *ret_new_guard = guard == ERR_NOT_FOUND && !view->has_journal;
    if (!view->has_checkpoint) {
        _cleanup_free_ char *path = xasprintf("%s/" FILE_CHECKPOINT, root);
        if (getrandom(view->state.store_id, STORE_ID_BYTES, 0) != STORE_ID_BYTES)
            return error_set_errno(reterr, errno, "cannot get random bytes for the store's id");
        r = checkpoint_write(&view->state, fs, path, reterr);
        if (r < 0)
            return r;
        view->has_checkpoint = true;
    }
    if (!fs_exists(guard_path))
        r = write_guard(fs, root, view->state.store_id, reterr);
    if (r == 0)
        r = store_view_recover(view, fs, reterr);
    if (r == 0)
        r = snapshots_clean_up(fs, root, reterr);
    /* Recovery has removed it. Durable before the first commit relies on it being there. */
    _cleanup_free_ char *dropped = xasprintf("%s/" DIR_DROPPED, root);
    if (r == 0)
        r = fs_make_dirs(fs, dropped, true, reterr);
    return r;
}

int store_dir_acquire(const struct fs *fs, const char *root, struct store_view *view, int *ret_lock_fd,
                      bool *ret_new_guard, struct error *reterr)
{
    int fd;
    int r = fs_make_dirs(fs, root, true, reterr);
    if (r == 0)
        r = store_dir_lock(root, false, &fd, reterr);
    if (r < 0)
        return r;
    r = acquire_locked(fs, root, view, ret_new_guard, reterr);
    if (r < 0) {
        store_view_release(view);
        (void)close(fd);
        return r;
    }
    *ret_lock_fd = fd;
    return 0;
}

int store_dir_give_back(const struct fs *fs, const char *root, int lock_fd, struct error *reterr)
{
    _cleanup_free_ char *guard = xasprintf("%s/" FILE_GUARD, root);
    int r = fs->ops->unlink(fs, guard, reterr);
    if (r == 0)
        r = fs->ops->sync_dir(fs, root, reterr);
    (void)close(lock_fd);
    return r;
}

bool store_dir_is_store(const char *root)
{
    _cleanup_free_ char *varve = xasprintf("%s/" DIR_VARVE, root);
    _cleanup_free_ char *data = xasprintf("%s/" DIR_DATA, root);
    return fs_is_dir(varve) || fs_is_dir(data);
}
