"""crashfs of the testbed: a mount whose changes are recorded, and the states that a power loss may leave of them."""
import os
import subprocess
import sys

from .scope import TESTBED, ProgramFailed, TimedOut, wait_until

sys.path.insert(0, os.path.join(TESTBED, 'crashfs'))
import crashstates                              # noqa: E402  tests/testbed/crashfs/crashstates.py

__all__ = ['MEMORY', 'Mount', 'crashstates', 'modes_of', 'programs']

# Hundreds of small directories are made: a file system in memory does that ten times as fast as a disk.
MEMORY = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None


def programs(scope):
    """Paths of crashfs and of libnosync, which are built if need be."""
    r = scope.run(['bash', os.path.join(TESTBED, 'crashfs', 'build.sh')], timeout=600)
    paths = dict(line.split('=', 1) for line in r.stdout.decode().splitlines())
    return paths['CRASHFS'], paths['NOSYNC']


class Mount:
    """with Mount(...) as m: crashfs over m.back, seen at m.mnt, recorded in m.journal."""

    def __init__(self, scope, crashfs, name):
        self.scope, self.crashfs, self.dir = scope, crashfs, scope.path(name)
        self.back, self.mnt, self.journal = (os.path.join(self.dir, x) for x in ('back', 'mnt', 'journal'))
        self.control = os.path.join(self.mnt, '.crashfs')
        for d in (self.back, self.mnt):
            os.makedirs(d, exist_ok=True)

    def __enter__(self):
        self.users = []
        self.process = self.scope.spawn([self.crashfs, self.back, self.mnt, self.journal], log=self.dir + '.log')
        wait_until(lambda: os.path.exists(self.control) or not self.process.running(), 10, 'crashfs is mounted')
        if not self.process.running():
            raise ProgramFailed('crashfs: ' + self.process.output())
        return self

    def spawn(self, *args, **more):
        """Scope.spawn of a program that works below the mount."""
        self.users.append(self.scope.spawn(*args, **more))
        return self.users[-1]

    def command(self, text):
        """One line for crashfs, see crashfs.c."""
        with open(self.control, 'w') as f:
            f.write(text + '\n')

    def __exit__(self, *_):
        for p in self.users:
            p.kill()
        if subprocess.run(['fusermount3', '-u', self.mnt], stderr=subprocess.DEVNULL).returncode != 0:
            subprocess.run(['fusermount3', '-uz', self.mnt])
        try:
            self.process.wait(5)
        except TimedOut:                        # a container that was begun meanwhile has the mount in its namespace, too
            self.process.stop()


def modes_of(seq, models, rand):
    """(model, mode) of the states that are looked at after record `seq`."""
    for model in models:
        yield model, 'min'
        for k in range(rand):
            yield model, seq * 1000 + k
    yield models[0], 'max'
