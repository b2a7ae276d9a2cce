"""Rules about the tree: its top level, sizes of files, what is built, plain text, scripts, names that don't belong."""
import ast
import os
import re
import subprocess

from tree import PRODUCT_FOLDERS, Problem

MAX_LINES = 800

TOP_LEVEL = set('src sinks storage config systemd tests CMakeLists.txt README.md'.split())
# Where tools and readers look for them.
TOP_LEVEL_CUSTOMARY = set('LICENSE NOTICE CHANGELOG.md SECURITY.md CMakePresets.json'.split())


def top_level(tree):
    """The top level stays as it is: a new entry there is a decision, not an accident."""
    entries = {path.split('/')[0] for path in tree.files}
    for entry in sorted(entries):
        if not entry.startswith('.') and entry not in TOP_LEVEL | TOP_LEVEL_CUSTOMARY:
            yield Problem(entry, 0, 'not an entry of the top level: ' + ' '.join(sorted(TOP_LEVEL)))
    for entry in sorted(TOP_LEVEL - entries):
        yield Problem(entry, 0, 'is missing at the top level')


def file_size(tree):
    """At most 800 lines a file; less is better."""
    for f in tree.text_files():
        lines = f.text.count('\n')
        if lines > MAX_LINES and (f.suffix in ('.c', '.h', '.py', '.sh', '.md', '.cmake', '.yaml')
                                  or f.path.endswith('CMakeLists.txt')):
            yield Problem(f.path, 0, f'{lines} lines; more than {MAX_LINES} is more than one job')


def names_file(lists, path):
    """Whether a CMakeLists.txt names path, as seen from its folder."""
    relative = os.path.relpath(path, os.path.dirname(lists.path) or '.')
    return re.search(r'(?<![\w./-])(?:\$\{\w+\}/)?(?:'
                     + re.escape(relative) + '|' + re.escape(path) + r')(?![\w./-])', lists.text) is not None


def names_stem(lists, stem):
    """foreach(x a b c) ... test_${x}.c: the stem stands alone, and a variable is part of a file name."""
    return re.search(r'(?<![\w./-])' + re.escape(stem) + r'(?![\w./-])', lists.text) and re.search(r'\$\{\w+\}\.c\b', lists.text)


# Programs that a script compiles for itself, as they're no part of the build.
SCRIPT_BUILT = ('tests/real/', 'tests/bench/', 'tests/testbed/')


def in_build(tree):
    """Each source file is compiled and each test is registered: one that isn't built is no test."""
    all_lists = [f for path, f in tree.files.items() if os.path.basename(path) == 'CMakeLists.txt']
    modules = [f for f in tree.files.values() if f.suffix == '.cmake']
    scripts_text = '\n'.join(f.text for f in tree.text_files() if f.suffix in ('.sh', '.py'))
    for f in tree.c_files(*PRODUCT_FOLDERS, 'tests'):
        if not f.path.endswith('.c'):
            continue
        base = os.path.basename(f.path)
        if f.path.startswith(SCRIPT_BUILT) and re.search(r'(?<![\w-])' + re.escape(base) + r'\b', scripts_text):
            continue
        stems = {base[:-2], re.sub(r'^(test|fuzz)_', '', base[:-2])}
        if not any(names_file(lists, f.path) or any(names_stem(lists, stem) for stem in stems)
                   for lists in tree.cmake_lists(f.path)) and not any(f.path in lists.text for lists in all_lists) \
                and not any(names_file(module, f.path) for module in modules):
            yield Problem(f.path, 0, 'no CMakeLists.txt of its folder or above names it: it is never built')
    for lists in all_lists:
        folder = os.path.dirname(lists.path)
        above = list(tree.cmake_lists(lists.path))
        if above and not any(re.search(r'(?<![\w./-])' + re.escape(os.path.relpath(folder, os.path.dirname(f.path) or '.'))
                                       + r'(?![\w./-])', f.text) for f in above) \
                and not any('{PROJECT_SOURCE_DIR}/' + folder + ' ' in f.text for f in all_lists):
            yield Problem(lists.path, 0, f'{above[0].path} does not add this folder: nothing in it is built')


def plain_text(tree):
    """UTF-8, LF, no tabs, no blanks at line ends, a newline at the end of the file (.editorconfig)."""
    for f in tree.text_files():
        text = f.text
        foreign = re.search('[\ud800-\udfff]', text)  # what Tree's reading makes of bytes that are no UTF-8
        if foreign:
            yield Problem(f.path, f.line_of(foreign.start()), 'is not UTF-8')
        if f.path == 'LICENSE':
            continue
        if text and not text.endswith('\n'):
            yield Problem(f.path, text.count('\n') + 1, 'no newline at the end of the file')
        elif text.endswith('\n\n'):
            yield Problem(f.path, text.count('\n'), 'blank line at the end of the file')
        for pattern, sentence in ((r'\r', 'carriage return'), (r'\t', 'tab'), (r'[ \t]+$', 'blank at the end of the line')):
            match = re.search(pattern, text, re.M)
            if match:
                yield Problem(f.path, f.line_of(match.start()), sentence)


# Put together so that this file doesn't contain what it looks for.
LEFTOVER = re.compile(r'\b(TO' + 'DO|FIX' + 'ME|X' + r'XX)\b')


def leftovers(tree):
    """Nothing is left to be done later in a comment: it's done, or it's an issue."""
    for f in tree.text_files():
        for match in LEFTOVER.finditer(f.text):
            yield Problem(f.path, f.line_of(match.start()), f'"{match.group()}": do it, or file an issue')


# A name with a registry's first label and a public suffix: deb.<...>.org, registry.<...>.io. Module paths of Go start
# with a host of their own, which is their name; the registry that serves them isn't written anywhere.
REGISTRY = re.compile(r'\b(?:deb|ftp|security|archive|snapshot|repo\d?|repository|registry|registry-\d|index|proxy|sum|mirrors?|'
                      r'packages|files|crates|static\.crates|pypi|npm|ghcr|quay|docker|hub)\.(?:[a-z0-9-]+\.)*'
                      r'(?:org|com|io|net|dev|cloud)\b(?!\.)|\b(?:pypi|pythonhosted|ghcr|quay|npmjs|mvnrepository|sonatype)\.(?:org|io|com)\b')
MACHINE_PATH = re.compile(r'(?<![\w/.])/(?:work|root|home)/[\w.]|\.\./shared\b')


def outside_names(tree):
    """No host of a package registry (the clients know theirs), no path of the machine that a file was written on."""
    for f in tree.text_files():
        for match in REGISTRY.finditer(f.text):
            yield Problem(f.path, f.line_of(match.start()), f'"{match.group()}" is the host of a package registry')
        for match in MACHINE_PATH.finditer(f.text):
            yield Problem(f.path, f.line_of(match.start()), f'"{match.group()}" is a path of one machine')


BY_NAME = re.compile(r'(?<![\w-])(pkill|killall|skill)\s')


def scripts(tree):
    """Scripts parse, say in which language they are, and end processes by id, never by name."""
    for f in tree.text_files():
        first = f.text.split('\n', 1)[0]
        if f.suffix == '.py':
            try:
                ast.parse(f.text, f.path)
            except SyntaxError as e:
                yield Problem(f.path, e.lineno or 0, f'is not Python: {e.msg}')
        elif first.startswith('#!') and re.search(r'\b(sh|bash)\b', first) or f.suffix == '.sh':
            needs_bash = 'bash' in first or not first.startswith('#!') or 'exec bash "$0"' in f.text
            shell = 'bash' if needs_bash else 'sh'
            result = subprocess.run([shell, '-n', f.full], capture_output=True, text=True)
            if result.returncode:
                yield Problem(f.path, 0, f'{shell} -n: {result.stderr.strip()}')
            for number, line in enumerate(f.text.split('\n'), 1):
                if BY_NAME.search(line.split('#')[0]):
                    yield Problem(f.path, number, 'ends processes by name: another user of the machine may run the same')


RULES = (top_level, file_size, in_build, plain_text, leftovers, outside_names, scripts)
