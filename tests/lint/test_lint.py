#!/usr/bin/env python3
"""The lint's own test: a small clean tree gives nothing; each bad snippet put into it gives that one complaint."""
import os
import sys
import tempfile
import unittest

from lint import problems
from rules_tree import MAX_LINES, TOP_LEVEL

HEADER = '#ifndef {0}\n#define {0}\nint f(void);\n#endif\n'
CLEAN = {
    'README.md': 'Clean\n',
    'CMakeLists.txt': 'add_subdirectory(src/base)\nforeach(f src storage sinks config systemd tests)\n'
                      '  add_subdirectory(${f})\nendforeach()\n',
    'src/CMakeLists.txt': 'add_executable(varve main.c)\n',
    'src/main.c': '#include "storage/storage.h"\n#include "sinks/sink.h"\nint main(void) { return 0; }\n',
    'src/base/CMakeLists.txt': 'add_library(base alloc.c)\n',
    'src/base/alloc.h': HEADER.format('VARVE_BASE_ALLOC_H'),
    'src/base/alloc.c': '#include "src/base/alloc.h"\nvoid *x(void) { return malloc(1); }\n',
    'sinks/CMakeLists.txt': 'add_library(sinks sink.c)\n',
    'sinks/sink.h': HEADER.format('VARVE_SINKS_SINK_H'),
    'sinks/sink.c': '#include "sinks/sink.h"\n#include "src/base/alloc.h"\n',
    'storage/CMakeLists.txt': 'add_library(storage storage.c)\nadd_subdirectory(fs)\n',
    'storage/storage.h': HEADER.format('VARVE_STORAGE_STORAGE_H'),
    'storage/storage.c': '#include "storage/storage.h"\nint g(void) { return ops->fsync(1) + fs->ops->rename(a, b); }\n'
                         '/* malloc( and "sprintf(" in a comment */\nconst char *s = "sprintf( \\" strcpy(";\n'
                         'int r(void) { return open(path, O_RDONLY | O_CLOEXEC); }\n',
    'storage/fs/CMakeLists.txt': 'target_sources(storage PRIVATE fs_posix.c)\n',
    'storage/fs/fs_posix.c': 'int s(int fd) { return fsync(fd); }\n',
    'config/CMakeLists.txt': 'add_library(config config.c)\n',
    'config/config.c': 'int c;\n',
    'systemd/CMakeLists.txt': 'message(x)\n',
    'tests/CMakeLists.txt': 'foreach(f unit/storage fuzz)\n  add_subdirectory(${f})\nendforeach()\n',
    'tests/run.sh': '#!/bin/sh\nkill "$pid"\n',
    'tests/unit/storage/CMakeLists.txt': 'foreach(name block part)\n  varve_unit_test(test_${name} test_${name}.c)\nendforeach()\n',
    'tests/unit/storage/test_block.c': '#include "storage/storage.h"\n',
    'tests/unit/storage/test_part.c': '#include "src/base/alloc.h"\n',
    'tests/fuzz/CMakeLists.txt': 'varve_fuzz_target(fuzz_a fuzz_a.c corpus)\n',
    'tests/fuzz/fuzz_a.c': 'int a;\n',
    'tests/fuzz/corpus/seed': 'bytes \t \x00 TO' + 'DO without newline',
    'tests/real/e2e.py': 'compile("produce.c")\n',
    'tests/real/produce.c': 'int n = atoi(s);\n',
}
# rule's words -> files that replace or join the clean ones
BAD = (
    ('may see', {'storage/storage.c': '#include "storage/storage.h"\n#include "sinks/sink.h"\n'}),
    ('may see', {'sinks/sink.c': '#include "sinks/sink.h"\n#include "storage/storage.h"\n'}),
    ('may see', {'src/base/alloc.c': '#include "src/base/alloc.h"\n#include "storage/storage.h"\n'}),
    ('may see', {'config/config.c': '#include "sinks/sink.h"\n'}),
    ('may see', {'tests/unit/storage/test_part.c': '#include "sinks/sink.h"\n'}),
    ('start at its root', {'storage/storage.c': '#include "storage/storage.h"\n#include "../sinks/sink.h"\n'}),
    ('own header', {'storage/storage.c': '#include <stdio.h>\n#include "storage/storage.h"\n'}),
    ('sprintf() is banned', {'sinks/sink.c': '#include "sinks/sink.h"\nint x = sprintf(b, "%d", 1);\n'}),
    ('strcpy() is banned', {'tests/unit/storage/test_part.c': 'void t(void) { strcpy(a, b); }\n'}),
    ('malloc() is banned', {'sinks/sink.c': '#include "sinks/sink.h"\nvoid *p = malloc (3);\n'}),
    ('fsync() is banned', {'storage/storage.c': '#include "storage/storage.h"\nint x = fsync(fd);\n'}),
    ('opened for writing', {'storage/storage.c': '#include "storage/storage.h"\nint x = open(p,\n  O_WRONLY | O_CREAT, 0600);\n'}),
    ('atoi() is banned', {'config/config.c': 'int c = atoi("1");\n'}),
    ('pthread_mutex_lock() is banned', {'sinks/sink.c': '#include "sinks/sink.h"\nint x = pthread_mutex_lock(&m);\n'}),
    ('no include guard', {'sinks/sink.h': 'int f(void);\n'}),
    ('no include guard', {'sinks/sink.h': '#ifndef VARVE_SINKS_SINK_H\n#define VARVE_SINKS_SNIK_H\n#endif\n'}),
    ('its include guard is', {'sinks/sink.h': HEADER.format('SINK_H')}),
    ('follows the #endif', {'sinks/sink.h': HEADER.format('VARVE_SINKS_SINK_H') + 'int g;\n'}),
    ('top level', {'lib/x.c': 'int x;\n'}),
    ('top level', {'notes.md': 'x\n'}),
    ('more than one job', {'config/config.c': 'int c;\n' * (MAX_LINES + 1)}),
    ('never built', {'tests/unit/storage/test_new.c': 'int t;\n'}),
    ('never built', {'sinks/second.c': 'int t;\n'}),
    ('never built', {'tests/real/tool.c': 'int t;\n'}),
    ('nothing in it is built', {'tests/unit/config/CMakeLists.txt': 'message(x)\n'}),
    ('newline at the end', {'config/config.c': 'int c;'}),
    ('tab', {'config/config.c': 'int\tc;\n'}),
    ('blank at the end of the line', {'config/config.c': 'int c; \nint d;\n'}),
    ('carriage return', {'config/config.c': 'int c;\r\n'}),
    ('not UTF-8', {'README.md': b'\xff\xfe\n'}),
    ('file an issue', {'config/config.c': '/* TO' + 'DO: later */\n'}),
    ('package registry', {'tests/run.sh': '#!/bin/sh\ncurl https://registry.' + 'example.org/x\n'}),
    ('package registry', {'tests/run.sh': '#!/bin/sh\ncurl https://deb.' + 'debian.org/x\n'}),
    ('path of one machine', {'tests/run.sh': '#!/bin/sh\ncat /ro' + 'ot/.cache\n'}),
    ('path of one machine', {'README.md': 'see ../sha' + 'red/design\n'}),
    ('sh -n', {'tests/run.sh': '#!/bin/sh\nif true; then\n'}),
    ('is not Python', {'tests/real/e2e.py': '# produce.c\ndef x(:\n'}),
    ('by name', {'tests/run.sh': '#!/bin/sh\npki' + 'll varve\n'}),
)


def complaints(changes):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **changes}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'wb') as f:
                f.write(text if isinstance(text, bytes) else text.encode())
        return [str(p) for p in problems(root)]


class LintTest(unittest.TestCase):
    def test_clean_tree(self):
        self.assertEqual(complaints({}), [])

    def test_clean_tree_has_whole_top_level(self):
        self.assertEqual({p.split('/')[0] for p in CLEAN}, TOP_LEVEL)

    def test_each_bad_snippet_is_caught_alone(self):
        for words, changes in BAD:
            with self.subTest(words=words, files=list(changes)):
                found = complaints(changes)
                self.assertEqual(len(found), 1, found)
                self.assertIn(words, found[0])
                self.assertTrue(found[0].startswith(tuple(p.split('/')[0] for p in changes)), found[0])


if __name__ == '__main__':
    sys.exit(unittest.main(verbosity=1))
