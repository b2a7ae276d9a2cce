"""Rules about C sources: who includes whom, what isn't called where, guards of headers."""
import os
import re

from tree import PRODUCT_FOLDERS, Problem

# layer -> folders that it may include. src/base comes first: it lies in src but knows nothing of it.
LAYERS = (
    ('src/base/', ('src/base/',)),
    ('config/', ('config/', 'src/base/')),
    ('storage/', ('storage/', 'src/base/')),
    ('sinks/', ('sinks/', 'src/base/')),
    ('src/', ('src/', 'sinks/', 'storage/', 'config/')),
    # A unit test sees what the code that it tests sees, and the doubles.
    ('tests/unit/base/', ('src/base/', 'tests/')),
    ('tests/unit/config/', ('config/', 'src/base/', 'tests/')),
    ('tests/unit/storage/', ('storage/', 'src/base/', 'tests/')),
    ('tests/unit/sinks/', ('sinks/', 'src/base/', 'tests/')),
    ('tests/', ('src/', 'sinks/', 'storage/', 'config/', 'tests/')),
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]*)"', re.M)


def layer_of(path):
    return next((layer for layer in LAYERS if path.startswith(layer[0])), None)


def includes(tree):
    """Includes point one way: src -> sinks, storage, config -> src/base; paths start at the root; own header first."""
    generated = {os.path.basename(p)[:-3] for p in tree.files if p.endswith('.h.in')}
    for f in tree.c_files():
        layer = layer_of(f.path)
        if layer is None or f.path.startswith('tests/testbed/'):
            continue
        matches = list(INCLUDE.finditer(f.code))
        for match in matches:
            name, line = match.group(1), f.line_of(match.start(1))
            if os.path.basename(name) in generated and name not in tree.files:
                continue
            if name not in tree.files:
                yield Problem(f.path, line, f'"{name}" is no file of the tree: includes start at its root')
            elif not name.startswith(layer[1]):
                yield Problem(f.path, line, f'{layer[0]} must not include "{name}": it may see {", ".join(layer[1])}')
        own = f.path[:-2] + '.h'
        if f.path.endswith('.c') and own in tree.files and not f.path.startswith('tests/'):
            first = re.search(r'^[ \t]*#[ \t]*include[ \t]*(\S+)', f.code, re.M)
            if not first or first.group(1) != f'"{own}"':
                yield Problem(f.path, f.line_of(first.start()) if first else 0, f'its own header "{own}" comes first')


# (folders, folders and files excepted, called functions, what to do instead). A name preceded by . or -> is a member.
EVERYWHERE = PRODUCT_FOLDERS + ('tests',)
BANNED = (
    (EVERYWHERE, (), 'sprintf vsprintf', 'snprintf, or a struct buffer'),
    (EVERYWHERE, (), 'strcpy strcat strncpy strncat stpcpy gets', 'memcpy of a known size, or a struct buffer'),
    (EVERYWHERE, ('tests/testbed/',), 'strtok strtok_r', 'a scanner over pointer and end'),
    (PRODUCT_FOLDERS, (), 'atoi atol atoll atof', 'a parser that reports garbage and overflow'),
    (PRODUCT_FOLDERS, (), 'scanf fscanf sscanf vsscanf', 'a parser that reports garbage and overflow'),
    (EVERYWHERE, (), 'alloca', 'a fixed array, or the heap'),
    (EVERYWHERE, (), 'tmpnam tempnam mktemp', 'mkstemp, mkdtemp'),
    (PRODUCT_FOLDERS, (), 'system popen', 'nothing: the service starts no programs'),
    (EVERYWHERE, (), 'localtime gmtime ctime asctime', 'the _r variant'),
    (PRODUCT_FOLDERS, (), 'signal', 'sigaction, or a signalfd'),
    (PRODUCT_FOLDERS, (), 'rand srand random srandom', 'getrandom'),
    (PRODUCT_FOLDERS, ('src/base/clock.c', 'src/base/fault_point.c'), 'usleep sleep nanosleep', 'clock_sleep_ms, or a wait that a stop can end'),
    (PRODUCT_FOLDERS, ('src/base/alloc.c',),
     'malloc calloc realloc reallocarray strdup strndup asprintf vasprintf', 'the x... functions of src/base/alloc.h'),
    (PRODUCT_FOLDERS, ('src/base/clock.c',), 'time gettimeofday', 'src/base/clock.h: tests set that clock'),
    (PRODUCT_FOLDERS, ('src/base/',),
     'pthread_create pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock pthread_cond_init pthread_cond_wait'
     ' pthread_cond_timedwait pthread_rwlock_rdlock pthread_rwlock_wrlock', 'src/base/thread.h and mutex.h: ranked, named'),
    (('storage',), ('storage/fs/',),
     'creat fopen rename renameat renameat2 unlink unlinkat remove rmdir mkdir mkdirat link linkat symlink fsync'
     ' fdatasync sync syncfs sync_file_range truncate ftruncate fallocate posix_fallocate pwrite pwritev fwrite',
     'struct fs: the one door to the disk'),
    (('storage', 'sinks', 'config'), (), 'exit _exit quick_exit', 'an error for the caller'),
    (('storage', 'sinks', 'config'), (), 'printf vprintf puts putchar perror', 'an error for the caller, or src/base/log.h'),
)
# (folder, excepted, pattern, sentence), over code without comments and strings
BANNED_PATTERNS = (
    ('storage/', ('storage/fs/',), re.compile(r'(?<![\w.>])open(at)?\s*\([^;]*\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND)\b'),
     'a file is opened for writing: use struct fs, the one door to the disk'),
    ('', (), re.compile(r'^[ \t]*#[ \t]*pragma[ \t]+once\b', re.M), 'use an include guard, not #pragma once'),
)
# (file, name): what the rules above can't know. Each with its reason.
ALLOWED = {
    ('src/base/log.c', 'sscanf'),  # $JOURNAL_STREAM, two numbers that systemd wrote
    ('storage/store_dir.c', 'open'),  # flock.lock, which holds no data
    ('storage/partition/month.c', 'sscanf'),  # what it makes is compared with the text it came from
}


def excepted(path, exceptions):
    return any(path.startswith(e) if e.endswith('/') else path == e for e in exceptions)


def banned_calls(tree):
    """No calls that overflow, hide errors, allocate past src/base or reach the disk past storage/fs."""
    for folders, exceptions, names, instead in BANNED:
        pattern = re.compile(r'(?<![\w.>])(' + '|'.join(names.split()) + r')\s*\(')
        for f in tree.c_files(*folders):
            if excepted(f.path, exceptions):
                continue
            for match in pattern.finditer(f.code):
                if (f.path, match.group(1)) not in ALLOWED:
                    yield Problem(f.path, f.line_of(match.start(1)), f'{match.group(1)}() is banned here; use {instead}')
    for folder, exceptions, pattern, sentence in BANNED_PATTERNS:
        for f in tree.c_files():
            if f.path.startswith(folder) and not excepted(f.path, exceptions):
                for match in pattern.finditer(f.code):
                    if (f.path, 'open') not in ALLOWED:
                        yield Problem(f.path, f.line_of(match.start()), sentence)


GUARD = re.compile(r'\s*#\s*ifndef\s+(\w+)\s*\n\s*#\s*define\s+(\w+)\b')


def include_guards(tree):
    """Every header has a guard named after its path: VARVE_STORAGE_FS_FS_H, VARVE_BASE_ERROR_H, VARVE_TESTS_..._H."""
    for f in tree.c_files():
        if not f.path.endswith('.h'):
            continue
        names = ['VARVE_' + re.sub(r'[^A-Za-z0-9]', '_', path).upper() for path in (re.sub('^src/', '', f.path), f.path)]
        match = GUARD.match(f.code)
        if not match or match.group(1) != match.group(2):
            yield Problem(f.path, 0, f'no include guard; it would be {names[0]}')
        elif f.top == 'tests' and re.match(r'VARVE_TESTS_\w+_H$', match.group(1)):
            pass
        elif match.group(1) not in names:
            yield Problem(f.path, f.line_of(match.start(1)), f'its include guard is {match.group(1)}, not {names[0]}')
        elif not re.search(r'#\s*endif\s*$', f.code):
            yield Problem(f.path, 0, 'something follows the #endif of its include guard')


RULES = (includes, banned_calls, include_guards)
