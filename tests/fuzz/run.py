#!/usr/bin/env python3
"""Fuzzes every target of a build made with the preset `fuzz` for a while: its corpus first, then new inputs.

    run.py --build DIR [--seconds N] [--jobs N] [--only NAME]

Which targets there are, and the corpus of each, is what ctest knows of the build. An input that fails is kept in DIR/fuzz-failures.
The last line is "N passed, N failed", one per target.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time


def targets(build):
    """-> [(name, program, corpus folders)] of all tests that run a libFuzzer program."""
    shown = subprocess.run(['ctest', '--test-dir', build, '--show-only=json-v1'], check=True, capture_output=True).stdout
    found = []
    for test in json.loads(shown)['tests']:
        command = test.get('command', [])
        if '-runs=0' in command:
            found.append((test['name'], command[0], [a for a in command[1:] if not a.startswith('-')]))
    return found


def fuzz(target, seconds, failures):
    """-> (name, exit code, output, seconds taken)."""
    name, program, corpora = target
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='varve-fuzz-') as new:
        os.makedirs(failures, exist_ok=True)
        arguments = [program, '-max_total_time=%d' % seconds, '-timeout=10', '-rss_limit_mb=2048', '-verbosity=1',
                     '-artifact_prefix=%s/%s-' % (failures, name), new, *corpora]
        try:
            done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=new, timeout=seconds + 300)
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as e:
            code, output = 'none: it did not end', e.stdout or b''
    return name, code, output.decode('utf-8', 'replace'), time.monotonic() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', required=True)
    parser.add_argument('--seconds', type=int, default=10)
    parser.add_argument('--jobs', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('--only')
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    chosen = [t for t in targets(build) if options.only in (None, t[0])]
    passed = failed = 0
    for name, _, corpora in chosen:
        if not corpora or not any(os.scandir(c) for c in corpora if os.path.isdir(c)):
            print('%s: has no seed corpus' % name)
            failed += 1
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, code, output, taken in pool.map(lambda t: fuzz(t, options.seconds, os.path.join(build, 'fuzz-failures')), chosen):
            if code == 0:
                passed += 1
                last = [line for line in output.splitlines() if line.startswith(('Done', '#'))][-1:]
                print('%-28s ok      %4.0f s  %s' % (name, taken, ' '.join(last)))
            else:
                failed += 1
                print('%-28s FAILED  %4.0f s  exit %s\n%s' % (name, taken, code, output[-6000:]))
            sys.stdout.flush()
    if not chosen:
        print('%s: no fuzz targets; was it configured with the preset "fuzz"?' % build)
        failed += 1
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
