"""A file system of limited size, to be filled. Its mount needs root, or a user namespace, and ends with a mount namespace of the test's own."""
import os
import sys

IN_NAMESPACE = 'VARVE_TEST_MOUNT_NAMESPACE'
CHUNK = 1 << 16


def enter_namespace():
    """Goes on in a mount namespace of this test's own, so that mounts end with the test, whatever happens to it. Called first of all."""
    if not os.environ.get(IN_NAMESPACE):
        os.environ[IN_NAMESPACE] = '1'
        os.execvp('unshare', ['unshare', '-m' if os.geteuid() == 0 else '-rm', '--propagation', 'private', sys.executable, *sys.argv])


class SmallDisk:
    """A file system of so many MiB, and a file that fills it. kind: tmpfs, or ext4 on a loop device, which needs root."""

    def __init__(self, scope, kind, mib, name='disk'):
        self.scope, self.dir = scope, scope.path(name)
        self.filler = os.path.join(self.dir, 'filler')
        os.mkdir(self.dir)
        if kind == 'tmpfs':
            scope.run(['mount', '-t', 'tmpfs', '-o', 'size=%dm' % mib, 'varve-full-disk', self.dir])
        else:
            image = scope.path(name + '.img')
            scope.run(['truncate', '-s', '%dM' % mib, image])
            scope.run(['mkfs.ext4', '-q', '-m', '0', '-F', image])
            scope.run(['mount', '-o', 'loop', image, self.dir])
        scope.at_end(lambda: scope.run(['umount', '-l', self.dir]))

    def grow(self, mib):
        """tmpfs: to that size."""
        self.scope.run(['mount', '-o', 'remount,size=%dm' % mib, self.dir])

    def free(self):
        st = os.statvfs(self.dir)
        return st.f_bavail * st.f_frsize

    def fill(self, leave):
        """Grows the filler until `leave` bytes or less are free."""
        with open(self.filler, 'ab', buffering=0) as f:
            try:
                size = f.tell()
                while self.free() > leave + 2 * CHUNK:
                    step = self.free() - leave - CHUNK
                    os.posix_fallocate(f.fileno(), size, step)
                    size += step
                f.seek(0, os.SEEK_END)
                while self.free() > leave:
                    f.write(b'x' * min(CHUNK, self.free() - leave))
            except OSError:
                pass                            # that's full

    def empty(self):
        if os.path.exists(self.filler):
            os.unlink(self.filler)
