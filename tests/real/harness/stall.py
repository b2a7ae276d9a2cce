"""A disk that hangs for as long as a test wants: tests/testbed/crashfs/stall.c."""
import os

from .scope import TESTBED, ProgramFailed


def library(scope):
    """Path of the LD_PRELOAD library, which is built if need be."""
    r = scope.run(['bash', os.path.join(TESTBED, 'crashfs', 'build.sh')], timeout=600)
    for line in r.stdout.decode().splitlines():
        name, _, path = line.partition('=')
        if name == 'STALL':
            return path
    raise ProgramFailed('build.sh names no STALL')


class Stall:
    """with stall.of('*'): what becomes durable below the directory hangs. env: of the program, from its start on."""

    def __init__(self, scope, name, directory):
        self.file = scope.path(name + '.stall')
        os.makedirs(directory, exist_ok=True)
        self.env = {'LD_PRELOAD': library(scope), 'STALL_FILE': self.file, 'STALL_ROOT': os.path.realpath(directory),
                    # the sanitizers' libraries want to be first, which matters to what they intercept and this doesn't
                    'ASAN_OPTIONS': ':'.join(filter(None, (os.environ.get('ASAN_OPTIONS'), 'verify_asan_link_order=0')))}
        scope.at_end(self.end)                  # or the program couldn't end either

    def begin(self, *patterns):
        """Patterns of paths below the directory, see stall.c."""
        with open(self.file + '.new', 'w') as f:
            f.write(':'.join(patterns))
        os.rename(self.file + '.new', self.file)

    def end(self):
        if os.path.exists(self.file):
            os.unlink(self.file)
