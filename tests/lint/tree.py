"""The files that the lint looks at, and C source with what isn't code blanked out."""
import os
import re

# Neither read nor reported: what builds and tools leave behind (see .gitignore).
SKIPPED_FOLDERS = re.compile(r'^(\.git|build|build-.*|\.cache|__pycache__)$')
# Bytes, not text: fuzz corpora and directories that a server wrote.
BINARY_FOLDERS = ('tests/fuzz/', 'tests/golden/')
TEXT_SUFFIXES = ('.c', '.h', '.py', '.sh', '.md', '.yaml', '.yml', '.cmake', '.txt', '.json', '.in', '.sysusers',
                 '.tmpfiles', '.service')

PRODUCT_FOLDERS = ('src', 'sinks', 'storage', 'config')


class Problem(Exception):
    """What a rule found: a path below the root, a line (0: the whole file), and a sentence."""

    def __init__(self, path, line, text):
        super().__init__(path, line, text)
        self.path, self.line, self.text = path, line, text

    def __str__(self):
        return f'{self.path}:{self.line}: {self.text}' if self.line else f'{self.path}: {self.text}'


def blank(match):
    return re.sub(r'[^\n]', ' ', match.group())


COMMENT_OR_LITERAL = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_of(text):
    """C text with comments, strings and characters replaced by spaces, line numbers kept; #include lines stay whole."""
    def replace(match):
        start = text.rfind('\n', 0, match.start()) + 1
        if match.group()[0] == '"' and re.match(r'\s*#\s*include\b', text[start:match.start()]):
            return match.group()
        return blank(match)
    return COMMENT_OR_LITERAL.sub(replace, text)


class File:
    def __init__(self, root, path):
        self.path = path
        self.full = os.path.join(root, path)
        self._text = self._code = None

    @property
    def suffix(self):
        return os.path.splitext(self.path)[1]

    @property
    def top(self):
        return self.path.split('/')[0]

    @property
    def is_c(self):
        return self.suffix in ('.c', '.h')

    @property
    def is_text(self):
        """By name; scripts without a suffix by their first line."""
        if self.path.startswith(BINARY_FOLDERS) and self.suffix not in ('.c', '.h', '.py', '.sh', '.txt', '.md'):
            return False
        if self.path.startswith(BINARY_FOLDERS) and self.suffix == '.txt':
            return self.path.endswith('CMakeLists.txt')
        if self.suffix in TEXT_SUFFIXES or os.path.basename(self.path).startswith('.') or '/' not in self.path:
            return True
        with open(self.full, 'rb') as f:
            return f.read(2) == b'#!'

    @property
    def text(self):
        if self._text is None:
            with open(self.full, encoding='utf-8', errors='surrogateescape', newline='') as f:
                self._text = f.read()
        return self._text

    @property
    def code(self):
        if self._code is None:
            self._code = code_of(self.text)
        return self._code

    def line_of(self, offset):
        return self.text.count('\n', 0, offset) + 1


class Tree:
    """All files below root, by path in a fixed order."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(f for f in folders if not SKIPPED_FOLDERS.match(f))
            for name in sorted(names):
                if not name.endswith('.pyc'):
                    path = os.path.relpath(os.path.join(folder, name), root)
                    self.files[path] = File(root, path)

    def c_files(self, *tops):
        return [f for f in self.files.values() if f.is_c and (not tops or f.top in tops)]

    def text_files(self):
        return [f for f in self.files.values() if f.is_text]

    def cmake_lists(self, path):
        """The CMakeLists.txt of path's folder and of the folders above it, nearest first."""
        folder = os.path.dirname(path)
        while True:
            lists = os.path.join(folder, 'CMakeLists.txt') if folder else 'CMakeLists.txt'
            if lists in self.files and lists != path:
                yield self.files[lists]
            if not folder:
                return
            folder = os.path.dirname(folder)
