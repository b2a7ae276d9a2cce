/* crashfs - a FUSE pass-through file system that journals every change and every fsync, and injects faults.
 *
 *   crashfs BACKING-DIR MOUNT-POINT JOURNAL        (stays in the foreground; one thread, so the journal is a total order)
 *
 * What a program under test writes below MOUNT-POINT is kept in BACKING-DIR as usual; JOURNAL gets one record for each
 * change of data or of a directory and for each fsync. crashstates.py rebuilds from it the directories that a power cut
 * could have left (what was not fsynced may be missing, torn or out of order).
 *
 * Control: each line written to MOUNT-POINT/.crashfs is a command:
 *   mark TEXT              put TEXT in the journal (for example: a reply that promised durability was received)
 *   fail OP ERRNO [N [M]]  after the next M (default 0) calls of OP the N (default 1, -1 = all) that follow fail;
 *                          OP: write fsync create rename unlink truncate
 *                          open read mkdir; ERRNO a number (5 EIO, 28 ENOSPC, 122 EDQUOT)
 *   space BYTES            so many more bytes can be written, then ENOSPC (-1 = no limit)
 *   delay OP MS            each OP takes MS milliseconds longer
 *   short N                the next N writes are short (half of the bytes)
 *   kill PID N             SIGKILL to process PID right after the N-th change or fsync from now
 *   reset                  no faults
 * Not seen by a FUSE file system: syncfs(2) and sync(2) (use fsync), so programs must not depend on them here.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { J_BASE = 1, J_CREATE, J_MKDIR, J_SYMLINK, J_LINK, J_UNLINK, J_RMDIR, J_RENAME, J_WRITE, J_TRUNC, J_FALLOC, J_FSYNC, J_MARK };
struct rec { /* little endian, packed by hand order: 8-byte fields first */
  uint64_t seq, ns, id, dir, dir2, off, len;
  uint32_t op, flags, n1, n2;
  uint64_t data;
};

static int root = -1, jfd = -1;
static uint64_t seq, next_id = 1;
#define CTL "/.crashfs"

/* ---- inode number -> id (ids are never reused) ---- */
static struct slot { uint64_t ino, id; } *tab;
static size_t cap, used;
static void grow(void);
static struct slot *find(uint64_t ino) {
  size_t i = (ino * 0x9E3779B97F4A7C15ull) & (cap - 1);
  while (tab[i].id && tab[i].ino != ino) i = (i + 1) & (cap - 1);
  return &tab[i];
}
static uint64_t set_id(uint64_t ino, uint64_t id) {
  if ((used + 1) * 2 > cap) grow();
  struct slot *s = find(ino);
  if (!s->id) used++;
  s->ino = ino; s->id = id;
  return id;
}
static void grow(void) {
  struct slot *old = tab; size_t n = cap;
  cap = cap ? cap * 2 : 1024; used = 0;
  tab = calloc(cap, sizeof *tab);
  if (!tab) abort();
  for (size_t i = 0; i < n; i++) if (old[i].id) set_id(old[i].ino, old[i].id);
  free(old);
}
static uint64_t id_of(uint64_t ino) { struct slot *s = find(ino); return s->id ? s->id : set_id(ino, next_id++); }

static void put(const void *p, size_t n) {
  const char *c = p;
  while (n) { ssize_t w = write(jfd, c, n); if (w < 0) { if (errno == EINTR) continue; perror("journal"); abort(); } c += w; n -= (size_t)w; }
}
static long kill_in; /* 0: nobody is to be killed */
static pid_t kill_pid;
static void log_op(uint32_t op, uint32_t flags, uint64_t id, uint64_t dir, const char *a, uint64_t dir2, const char *b, uint64_t off,
                   uint64_t len, const void *data, size_t n) {
  struct timespec t; clock_gettime(CLOCK_REALTIME, &t);
  struct rec r = {.seq = ++seq, .ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, .id = id, .dir = dir, .dir2 = dir2, .off = off,
                  .len = len, .op = op, .flags = flags, .n1 = a ? (uint32_t)strlen(a) : 0, .n2 = b ? (uint32_t)strlen(b) : 0, .data = n};
  put(&r, sizeof r);
  if (r.n1) put(a, r.n1);
  if (r.n2) put(b, r.n2);
  if (n) put(data, n);
  if (op != J_MARK && kill_in > 0 && --kill_in == 0) (void)kill(kill_pid, SIGKILL);
}

/* ---- faults ---- */
enum { F_WRITE, F_FSYNC, F_CREATE, F_RENAME, F_UNLINK, F_TRUNCATE, F_OPEN, F_READ, F_MKDIR, F_MAX };
static const char *fname[F_MAX] = {"write", "fsync", "create", "rename", "unlink", "truncate", "open", "read", "mkdir"};
static struct { int err, count, ms, skip; } fault[F_MAX];
static long long space = -1;
static int short_writes;
static int trip(int f) { /* 0 or -errno */
  if (fault[f].ms) { struct timespec t = {fault[f].ms / 1000, fault[f].ms % 1000 * 1000000L}; nanosleep(&t, NULL); }
  if (!fault[f].count || fault[f].skip-- > 0) return 0;
  fault[f].skip = 0;
  if (fault[f].count > 0) fault[f].count--;
  return -fault[f].err;
}
static int command(char *s) {
  char op[32]; int a = 0, n = 1, skip = 0; long long v;
  if (!strncmp(s, "mark ", 5)) { log_op(J_MARK, 0, 0, 0, NULL, 0, NULL, 0, 0, s + 5, strlen(s + 5)); return 0; }
  if (!strncmp(s, "reset", 5)) { memset(fault, 0, sizeof fault); space = -1; short_writes = 0; kill_in = 0; return 0; }
  if (sscanf(s, "space %lld", &v) == 1) { space = v; return 0; }
  if (sscanf(s, "short %d", &n) == 1) { short_writes = n; return 0; }
  if (sscanf(s, "kill %d %lld", &a, &v) == 2) { kill_pid = a; kill_in = (long)v; return 0; }
  n = 1;
  if (sscanf(s, "fail %31s %d %d %d", op, &a, &n, &skip) >= 2)
    for (int i = 0; i < F_MAX; i++) if (!strcmp(op, fname[i])) { fault[i].err = a; fault[i].count = n; fault[i].skip = skip; return 0; }
  if (sscanf(s, "delay %31s %d", op, &a) == 2)
    for (int i = 0; i < F_MAX; i++) if (!strcmp(op, fname[i])) { fault[i].ms = a; return 0; }
  return -EINVAL;
}

/* ---- paths ---- */
static const char *rel(const char *p) { return p[1] ? p + 1 : "."; }
static const char *base(const char *p) { return strrchr(p, '/') + 1; }
static uint64_t parent_id(const char *p) {
  char d[PATH_MAX]; size_t n = (size_t)(strrchr(p, '/') - p);
  struct stat st;
  if (n == 0) memcpy(d, ".", 2); else { memcpy(d, p + 1, n - 1); d[n - 1] = 0; }
  return fstatat(root, d, &st, AT_SYMLINK_NOFOLLOW) ? 0 : id_of(st.st_ino);
}
static uint64_t path_id(const char *p) { struct stat st; return fstatat(root, rel(p), &st, AT_SYMLINK_NOFOLLOW) ? 0 : id_of(st.st_ino); }
static uint64_t fd_id(int fd) { struct stat st; return fstat(fd, &st) ? 0 : id_of(st.st_ino); }
static uint64_t fresh(const char *p) { struct stat st; return fstatat(root, rel(p), &st, AT_SYMLINK_NOFOLLOW) ? 0 : set_id(st.st_ino, next_id++); }
/* libfuse passes no path (NULL) with an open file, see nullpath_ok; the control file's handle is -1 */
static int is_ctl(const char *p, const struct fuse_file_info *fi) { return p ? !strcmp(p, CTL) : fi && fi->fh == (uint64_t)-1; }
#define RET(x) return (x) < 0 ? -errno : 0

static int c_getattr(const char *p, struct stat *st, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) { memset(st, 0, sizeof *st); st->st_mode = S_IFREG | 0666; st->st_nlink = 1; return 0; }
  if (fi) RET(fstat((int)fi->fh, st));
  RET(fstatat(root, rel(p), st, AT_SYMLINK_NOFOLLOW));
}
static int c_access(const char *p, int m) { if (is_ctl(p, NULL)) return 0; RET(faccessat(root, rel(p), m, 0)); }
static int c_readlink(const char *p, char *b, size_t n) { ssize_t r = readlinkat(root, rel(p), b, n - 1); if (r < 0) return -errno; b[r] = 0; return 0; }
static int c_readdir(const char *p, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi, enum fuse_readdir_flags fl) {
  (void)p; (void)off; (void)fl;
  int fd = openat((int)fi->fh, ".", O_RDONLY | O_DIRECTORY); if (fd < 0) return -errno;
  DIR *d = fdopendir(fd); if (!d) { close(fd); return -errno; }
  for (struct dirent *e; (e = readdir(d));) { struct stat st = {.st_ino = e->d_ino, .st_mode = (mode_t)e->d_type << 12}; if (fill(buf, e->d_name, &st, 0, 0)) break; }
  closedir(d); return 0;
}
static int c_mkdir(const char *p, mode_t m) {
  int r = trip(F_MKDIR); if (r) return r;
  if (mkdirat(root, rel(p), m)) return -errno;
  log_op(J_MKDIR, m, fresh(p), parent_id(p), base(p), 0, NULL, 0, 0, NULL, 0); return 0;
}
static int c_unlink(const char *p) {
  int r = trip(F_UNLINK); if (r) return r;
  uint64_t id = path_id(p); if (unlinkat(root, rel(p), 0)) return -errno;
  log_op(J_UNLINK, 0, id, parent_id(p), base(p), 0, NULL, 0, 0, NULL, 0); return 0;
}
static int c_rmdir(const char *p) {
  uint64_t id = path_id(p); if (unlinkat(root, rel(p), AT_REMOVEDIR)) return -errno;
  log_op(J_RMDIR, 0, id, parent_id(p), base(p), 0, NULL, 0, 0, NULL, 0); return 0;
}
static int c_symlink(const char *to, const char *p) {
  if (symlinkat(to, root, rel(p))) return -errno;
  log_op(J_SYMLINK, 0, fresh(p), parent_id(p), base(p), 0, NULL, 0, 0, to, strlen(to)); return 0;
}
static int c_rename(const char *a, const char *b, unsigned fl) {
  int r = trip(F_RENAME); if (r) return r;
  uint64_t id = path_id(a);
  if (renameat2(root, rel(a), root, rel(b), fl)) return -errno;
  log_op(J_RENAME, fl, id, parent_id(a), base(a), parent_id(b), base(b), 0, 0, NULL, 0); return 0;
}
static int c_link(const char *a, const char *b) {
  if (linkat(root, rel(a), root, rel(b), 0)) return -errno;
  log_op(J_LINK, 0, path_id(a), parent_id(b), base(b), 0, NULL, 0, 0, NULL, 0); return 0;
}
static int c_chmod(const char *p, mode_t m, struct fuse_file_info *fi) { if (is_ctl(p, fi)) return 0; if (fi) RET(fchmod((int)fi->fh, m)); RET(fchmodat(root, rel(p), m, 0)); }
static int c_chown(const char *p, uid_t u, gid_t g, struct fuse_file_info *fi) { if (is_ctl(p, fi)) return 0; if (fi) RET(fchown((int)fi->fh, u, g)); RET(fchownat(root, rel(p), u, g, AT_SYMLINK_NOFOLLOW)); }
static int c_truncate(const char *p, off_t n, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) return 0;
  int r = trip(F_TRUNCATE); if (r) return r;
  int fd = fi ? (int)fi->fh : openat(root, rel(p), O_WRONLY); if (fd < 0) return -errno;
  r = ftruncate(fd, n) ? -errno : 0;
  if (!r) log_op(J_TRUNC, 0, fd_id(fd), 0, NULL, 0, NULL, 0, (uint64_t)n, NULL, 0);
  if (!fi) close(fd);
  return r;
}
static int c_utimens(const char *p, const struct timespec t[2], struct fuse_file_info *fi) { if (is_ctl(p, fi)) return 0; if (fi) RET(futimens((int)fi->fh, t)); RET(utimensat(root, rel(p), t, AT_SYMLINK_NOFOLLOW)); }
static int c_create(const char *p, mode_t m, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) return 0;
  int r = trip(F_CREATE); if (r) return r;
  struct stat st; int existed = !fstatat(root, rel(p), &st, AT_SYMLINK_NOFOLLOW);
  int fd = openat(root, rel(p), (fi->flags & ~O_APPEND) | O_CREAT, m); if (fd < 0) return -errno;
  fi->fh = (uint64_t)fd;
  if (!existed) log_op(J_CREATE, m, fresh(p), parent_id(p), base(p), 0, NULL, 0, 0, NULL, 0);
  else if (fi->flags & O_TRUNC) log_op(J_TRUNC, 0, fd_id(fd), 0, NULL, 0, NULL, 0, 0, NULL, 0);
  return 0;
}
static int c_open(const char *p, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) { fi->direct_io = 1; fi->fh = (uint64_t)-1; return 0; }
  int r = trip(F_OPEN); if (r) return r;
  int fl = fi->flags & ~(O_APPEND | O_DIRECT);
  if ((fl & O_ACCMODE) == O_WRONLY) fl = (fl & ~O_ACCMODE) | O_RDWR;
  int fd = openat(root, rel(p), fl); if (fd < 0 && errno == EACCES) fd = openat(root, rel(p), fi->flags & ~(O_APPEND | O_DIRECT));
  if (fd < 0) return -errno;
  if (fi->flags & O_TRUNC) log_op(J_TRUNC, 0, fd_id(fd), 0, NULL, 0, NULL, 0, 0, NULL, 0);
  fi->fh = (uint64_t)fd; return 0;
}
static int c_read(const char *p, char *b, size_t n, off_t o, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) return 0;
  int e = trip(F_READ); if (e) return e;
  ssize_t r = pread((int)fi->fh, b, n, o); return r < 0 ? -errno : (int)r;
}
static int c_write(const char *p, const char *b, size_t n, off_t o, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) {
    char *s = strndup(b, n), *save = NULL; int r = 0; if (!s) return -ENOMEM;
    for (char *l = strtok_r(s, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) if (command(l)) r = -EINVAL;
    free(s); return r ? r : (int)n;
  }
  int e = trip(F_WRITE); if (e) return e;
  if (short_writes > 0 && n > 1) { short_writes--; n /= 2; }
  if (space >= 0) { if (space == 0) return -ENOSPC; if ((long long)n > space) n = (size_t)space; space -= (long long)n; }
  ssize_t r = pwrite((int)fi->fh, b, n, o); if (r < 0) return -errno;
  log_op(J_WRITE, 0, fd_id((int)fi->fh), 0, NULL, 0, NULL, (uint64_t)o, (uint64_t)r, b, (size_t)r);
  return (int)r;
}
static int c_statfs(const char *p, struct statvfs *s) {
  (void)p; if (fstatvfs(root, s)) return -errno;
  if (space >= 0) s->f_bfree = s->f_bavail = (fsblkcnt_t)((unsigned long long)space / s->f_frsize);
  return 0;
}
static int c_release(const char *p, struct fuse_file_info *fi) { if (!is_ctl(p, fi)) close((int)fi->fh); return 0; }
static int c_fsync(const char *p, int ds, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) return 0;
  int r = trip(F_FSYNC); if (r) return r; /* nothing was made durable */
  log_op(J_FSYNC, (uint32_t)ds, fd_id((int)fi->fh), 0, NULL, 0, NULL, 0, 0, NULL, 0); return 0;
}
static int c_opendir(const char *p, struct fuse_file_info *fi) {
  int fd = openat(root, rel(p), O_RDONLY | O_DIRECTORY); if (fd < 0) return -errno;
  fi->fh = (uint64_t)fd; return 0;
}
static int c_releasedir(const char *p, struct fuse_file_info *fi) { (void)p; close((int)fi->fh); return 0; }
static int c_fsyncdir(const char *p, int ds, struct fuse_file_info *fi) {
  (void)p; int r = trip(F_FSYNC); if (r) return r;
  log_op(J_FSYNC, (uint32_t)ds, fd_id((int)fi->fh), 0, NULL, 0, NULL, 0, 0, NULL, 0); return 0;
}
static int c_fallocate(const char *p, int mode, off_t o, off_t n, struct fuse_file_info *fi) {
  if (is_ctl(p, fi)) return -EOPNOTSUPP;
  if (fallocate((int)fi->fh, mode, o, n)) return -errno;
  log_op(J_FALLOC, (uint32_t)mode, fd_id((int)fi->fh), 0, NULL, 0, NULL, (uint64_t)o, (uint64_t)n, NULL, 0); return 0;
}
static int c_flock(const char *p, struct fuse_file_info *fi, int op) { if (is_ctl(p, fi)) return 0; RET(flock((int)fi->fh, op | LOCK_NB)); }
static void *c_init(struct fuse_conn_info *ci, struct fuse_config *cfg) {
  (void)ci; cfg->use_ino = 1; cfg->entry_timeout = cfg->attr_timeout = cfg->negative_timeout = 0; cfg->hard_remove = cfg->nullpath_ok = 1; return NULL;
}
static const struct fuse_operations ops = {
  .init = c_init, .getattr = c_getattr, .access = c_access, .readlink = c_readlink, .readdir = c_readdir, .mkdir = c_mkdir, .unlink = c_unlink,
  .rmdir = c_rmdir, .symlink = c_symlink, .rename = c_rename, .link = c_link, .chmod = c_chmod, .chown = c_chown, .truncate = c_truncate,
  .utimens = c_utimens, .create = c_create, .open = c_open, .read = c_read, .write = c_write, .statfs = c_statfs, .release = c_release,
  .fsync = c_fsync, .opendir = c_opendir, .releasedir = c_releasedir, .fsyncdir = c_fsyncdir, .fallocate = c_fallocate, .flock = c_flock,
};

static void walk(const char *dir, uint64_t did) { /* what is there at the start counts as durable */
  int fd = openat(root, dir, O_RDONLY | O_DIRECTORY); DIR *d = fd < 0 ? NULL : fdopendir(fd); if (!d) return;
  for (struct dirent *e; (e = readdir(d));) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    char p[PATH_MAX]; snprintf(p, sizeof p, "%s/%s", dir, e->d_name);
    struct stat st; if (fstatat(root, p, &st, AT_SYMLINK_NOFOLLOW)) continue;
    uint64_t id = id_of(st.st_ino); char *data = NULL; size_t n = 0;
    if (S_ISREG(st.st_mode)) {
      int f = openat(root, p, O_RDONLY); data = malloc((size_t)st.st_size + 1);
      if (f >= 0 && data) for (ssize_t r; n < (size_t)st.st_size && (r = read(f, data + n, (size_t)st.st_size - n)) > 0;) n += (size_t)r;
      if (f >= 0) close(f);
    } else if (S_ISLNK(st.st_mode)) { data = malloc(PATH_MAX); ssize_t r = data ? readlinkat(root, p, data, PATH_MAX) : 0; n = r > 0 ? (size_t)r : 0; }
    log_op(J_BASE, st.st_mode, id, did, e->d_name, 0, NULL, 0, 0, data, n); free(data);
    if (S_ISDIR(st.st_mode)) walk(p, id);
  }
  closedir(d);
}
int main(int argc, char **argv) {
  if (argc != 4) { fprintf(stderr, "usage: crashfs BACKING-DIR MOUNT-POINT JOURNAL\n"); return 2; }
  umask(0); grow();
  root = open(argv[1], O_RDONLY | O_DIRECTORY); jfd = open(argv[3], O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
  if (root < 0 || jfd < 0) { perror("crashfs"); return 1; }
  put("CRASHFS1", 8);
  struct stat st; if (fstat(root, &st)) { perror("crashfs"); return 1; }
  walk(".", id_of(st.st_ino)); /* the root's id is 1 */
  char *a[] = {argv[0], argv[2], "-f", "-s", "-o", geteuid() == 0 ? "fsname=crashfs,default_permissions,allow_other" : "fsname=crashfs,default_permissions", NULL};
  return fuse_main(6, a, &ops, NULL);
}
