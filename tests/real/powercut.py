#!/usr/bin/env python3
"""Power loss: whatever of the unsynced is gone, torn or there, the store has each message that it called durable, and no half commit.

    powercut.py --build DIR [--points N] [--seed N] [--followers N] [--restart-step N] [--no-proof] [--verdicts] [--keep DIR]

A writer (store_writer.c) commits messages into a store below a crashfs mount, which records every change and fsync; now and then it's
killed at a random operation and started again on the same mount, where unsynced changes are still to be seen. At N points of the
record the directories are built that a power loss may have left then: nothing that wasn't synced, everything, or a random choice;
where a name needs the fsync of its directory (posix) and where any fsync takes all names along (ext4). Each has to pass store_check.c,
one in ten also `varve inspect --json` and `varve export`. Followers go on from one of these states, and are cut again.
In one recording fsyncs fail now and then, with ENOSPC, after which the writer goes on, or EIO, which ends it.
Half of the points lie where most is at stake: at the moment in which a position was called durable, and right before an fsync.
Then the harness proves itself: with one kind of fsync left out (nosync.c) there are states that fail.
With --verdicts each commit is one in two phases, whose verdict is kept elsewhere and comes before its record: a state has to come out as
the last one that was agreed to, and nothing else.
--keep: states that fail are copied there. `crashstates.py JOURNAL --out DIR --at SEQ --mode MODE` makes one again.
"""
import argparse
import concurrent.futures
import errno
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import report as reports
from harness.crashfs import MEMORY, Mount, crashstates, modes_of, programs
from harness.scope import ProgramFailed, Scope
from harness.varve import binary

JOBS = os.cpu_count() or 1
SERIES, ROWS_PER_MESSAGE = 3, 4                 # store_writer's
CLI_EVERY = 10                                  # states that the command-line tools are asked about too
FATAL_EXIT = 3                                  # store_writer's, after an EIO
SYNC_FAIL_RUNS = 6
SHOWN = 5                                       # failing states that are described

# What is left out: patterns below the store.
PART = '[0-9A-F]*'
OMISSIONS = (
    ('files of staged parts', ('varve/staging/*/*/*/*/*',)),
    ('directories of staged parts', ('varve/staging/*/*/*/*',)),
    ('month directories in staging', ('varve/staging/*/*/*',)),
    ('directories above these in staging', ('varve/staging', 'varve/staging/*', 'varve/staging/*/*')),
    ('the journal, when appended to', ('varve/journal',)),
    ('the journal, when made', ('varve/journal.tmp',)),
    ('the directory of journal and checkpoint', ('varve',)),
    ('the checkpoint', ('varve/checkpoint.tmp',)),
    ('parts.json', ('data/*/*/parts.json.tmp',)),
    ('month directories', ('data/*/*',)),
    ('files of merged parts', ('data/*/*/%s/*' % PART,)),
    ('directories of merged parts', ('data/*/*/%s' % PART,)),
    ('directories above the months', ('data', 'data/*')),
    ('the guard', ('restore-in-progress.tmp',)),
    ('the store\'s top directory', ('.',)),
)
OMISSIONS_WITH_VERDICTS = (
    ('files of staged parts', ('varve/staging/*/*/*/*/*',)),
    ('month directories in staging', ('varve/staging/*/*/*',)),
    ('the prepared commit', ('varve/prepared',)),
)


class Tools:
    verdicts = False                            # commits need them

    def __init__(self, scope, build):
        self.crashfs, self.nosync = programs(scope)
        self.varve = binary(build)
        self.writer, self.checker = (os.path.join(build, 'tests', 'real', p) for p in ('store_writer', 'store_check'))
        for program in (self.writer, self.checker):
            if not os.access(program, os.X_OK):
                raise ProgramFailed('%s: not built' % program)


class Recording:
    """A journal, and what was known before it began."""

    def __init__(self, name, journal, position=0, opened=False):
        self.name, self.journal, self.position, self.opened = name, journal, position, opened

    def points(self, chance, count):
        """Sequence numbers at which the power may be lost."""
        ops = [(o.seq, o.op) for o in crashstates.read_journal(self.journal) if o.op != crashstates.BASE]
        kinds = ([s for s, op in ops if op == crashstates.MARK],
                 [s - 1 for s, op in ops if op == crashstates.FSYNC],
                 [s for s, _ in ops])
        shares = (count // 4, count // 4, count - 2 * (count // 4))
        return {s for seqs, n in zip(kinds, shares) for s in chance.sample(seqs, min(n, len(seqs)))}

    def replay(self):
        """Yields (op, {model: Replay}, Known) after each record."""
        replays = {m: crashstates.Replay(m) for m in ('posix', 'ext4')}
        known = Known(self.position, self.opened)
        for o in crashstates.read_journal(self.journal):
            for r in replays.values():
                r.step(o)
            if o.op == crashstates.MARK:
                known.note(o.data.decode())
            yield o, replays, known


class Known:
    """What the writer had said."""

    def __init__(self, position, opened):
        self.low = self.high = self.agreed = position
        self.opened = opened

    def note(self, mark):
        word, _, n = mark.partition(' ')
        self.opened |= word == 'opened'
        if word in ('durable', 'closed'):
            self.low = max(self.low, int(n))
        elif word == 'handed':
            self.high = max(self.high, int(n))
        elif word == 'agreed':
            self.agreed = int(n)


def random_runs(chance, commits, kills):
    """So many runs of the writer that are killed, and a last one that isn't -> [(commits, operation to be killed at or 0)]."""
    # Half of the kills hit the opening, which recovers, and the first commits.
    return [(commits, chance.choice((chance.randrange(1, 300), chance.randrange(300, 4000)))) for _ in range(kills)] + [(commits, 0)]


def record(scope, tools, chance, name, runs, before=None, omit=()):
    """Runs the writer as runs has it, [(commits, operation to be killed at or 0[, errno of fsyncs that fail])] -> Recording.

    before: (directory, position) to begin with; omit: patterns of files whose fsync is left out.
    """
    mount = Mount(scope, tools.crashfs, name)
    if before:
        shutil.copytree(before[0], mount.back, symlinks=True, dirs_exist_ok=True)
    with mount:
        store = os.path.join(mount.mnt, 'store')
        env = {'LD_PRELOAD': tools.nosync, 'NOSYNC_ROOT': os.path.realpath(store), 'NOSYNC_PATTERNS': ':'.join(omit)} if omit else None
        if tools.verdicts:
            env = {**(env or {}), 'STORE_VERDICTS': scope.path(name + '-verdicts')}
            with open(env['STORE_VERDICTS'], 'wb') as f:
                f.write((before[1] if before else 0).to_bytes(8, 'little'))
        for commits, kill, *fails in runs:
            p = mount.spawn([tools.writer, store, mount.control, str(commits), str(chance.randrange(65536)), str(kill), *map(str, fails)],
                            log=scope.path(name + '-writer.log'), env=env)
            code = p.wait(300)
            if code != 0 and not (kill and code == -9) and not (fails == [errno.EIO] and code == FATAL_EXIT):
                raise ProgramFailed('store_writer: exit %d\n%s' % (code, p.output()))
    return Recording(name, mount.journal, *((before[1], True) if before else ()))


def expected_rows(line, position):
    """Rows that this line of an export must have, of a store with messages [0, position)."""
    kind, number = line['metric']['host'].split('-')
    first = int(number) * 40 if kind == 'late' else 0
    value = 999 if kind == 'late' else int(number)
    ns = range(first, min(position, first + 40) if kind == 'late' else position)
    return sorted(n * 1000 + value for n in ns)


def check_with_cli(tools, store, low):
    """What `varve inspect` and `varve export` say of a state; '' if it's right."""
    def varve(*args):
        return subprocess.run([tools.varve, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    inspected = varve('inspect', store, '--json')
    if inspected.returncode != 0:
        return 'varve inspect: exit %d: %s' % (inspected.returncode, inspected.stderr.decode('utf-8', 'replace'))
    positions = {int(p['next']) for p in json.loads(inspected.stdout)['positions']} or {0}
    position = min(positions)
    if len(positions) != 1 or position < low:
        return 'varve inspect: positions %s, durable was %d' % (positions, low)
    exported = varve('export', store)
    if exported.returncode != 0:
        return 'varve export: exit %d: %s' % (exported.returncode, exported.stderr.decode('utf-8', 'replace'))
    rows = 0
    for line in map(json.loads, exported.stdout.splitlines()):
        if sorted(line['values']) != expected_rows(line, position):
            return 'varve export: %s is not that of position %d' % (line['metric'], position)
        rows += len(line['values'])
    return '' if rows == position * ROWS_PER_MESSAGE else 'varve export: %d rows at position %d' % (rows, position)


def check_state(tools, top, known, with_cli):
    """What is wrong with the state below top, which is changed; '' if nothing. Also the position found."""
    store = os.path.join(top, 'store')
    if with_cli and known.opened:
        wrong = check_with_cli(tools, store, known.low)
        if wrong:
            return wrong, None
    # The checker's own syncs are of no interest.
    agreed = [str(known.agreed)] if tools.verdicts else []
    r = subprocess.run([tools.checker, store, str(known.low), str(known.high), str(int(known.opened)), *agreed], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=120, env={**os.environ, 'LD_PRELOAD': tools.nosync})
    text = (r.stdout + r.stderr).decode('utf-8', 'replace').strip()
    return ('', int(text)) if r.returncode == 0 else ('exit %d: %s' % (r.returncode, text), None)


def check_points(tools, recording, points, scratch, models, rand, stop_after, keep, first):
    """One worker's share -> (states checked, failures as text)."""
    done, failures = 0, []
    last = max(points, default=0)
    for o, replays, known in recording.replay():
        if o.seq > last or len(failures) >= stop_after:
            break
        if o.seq not in points:
            continue
        for model, mode in modes_of(o.seq, models, rand):
            if mode != 'min' and not replays[model].pending:
                continue                        # that is the same directory
            shutil.rmtree(scratch, ignore_errors=True)
            state = replays[model].state(mode)
            state.materialize(scratch)
            done += 1
            try:
                wrong, _ = check_state(tools, scratch, known, (done + first) % CLI_EVERY == 0)
            except subprocess.TimeoutExpired as e:
                wrong = 'timed out: %s' % e
            if wrong:
                name = '%s at %d, %s, %s' % (recording.name, o.seq, model, mode if isinstance(mode, str) else 'rand:%d' % mode)
                failures.append('%s: %s' % (name, wrong.replace(scratch, '')))
                if keep:
                    to = os.path.join(keep, name.replace(', ', '-').replace(' ', '-').replace(':', '-'))
                    shutil.rmtree(to, ignore_errors=True)
                    state.materialize(to)
                    shutil.copyfile(recording.journal, os.path.join(keep, recording.name + '.journal'))
                if len(failures) >= stop_after:
                    break
    shutil.rmtree(scratch, ignore_errors=True)
    return done, failures


def check_recording(scope, tools, recording, points, models=('posix', 'ext4'), rand=1, stop_after=1000, keep=None):
    """-> (states checked, failures); on all processors."""
    points = sorted(points)
    with concurrent.futures.ProcessPoolExecutor(JOBS, multiprocessing.get_context('fork')) as pool:
        shares = [pool.submit(check_points, tools, recording, set(points[i::JOBS]), scope.path('state-%d' % i), models, rand,
                              stop_after, keep, i * CLI_EVERY // 2) for i in range(JOBS)]
        results = [s.result() for s in shares]
    return sum(r[0] for r in results), [f for r in results for f in r[1]]


def some_state(scope, tools, recording, chance, name):
    """A random state of a recording -> (directory, position), or None if it isn't acceptable: that's for check_recording to find."""
    at = min(recording.points(chance, 1))
    for o, replays, known in recording.replay():
        if o.seq >= at and known.opened:
            break
    state = replays['posix'].state(chance.choice(('min', 'max', o.seq * 1000 + 500)))
    top, copy = scope.path(name + '-begin'), scope.path(name + '-copy')
    state.materialize(top)
    state.materialize(copy)
    wrong, position = check_state(tools, copy, known, False)
    shutil.rmtree(copy)
    return None if wrong else (top, position)


def restarts(scope, tools, chance, report, step, keep):
    """Killed at every so manyth operation of its first life, opened again at once, and the power is lost then.

    What the killed process had not synced is still to be seen for the one that recovers, which must not build on it.
    """
    states, failures, operation, ended = 0, [], chance.randrange(step) + 1, False
    seed = chance.randrange(1 << 31)                # the same commits each time
    while not ended:
        name = 'killed-at-%d' % operation
        recording = record(scope, tools, random.Random(seed), name, [(3, operation), (0, 0)])
        marks = [(o.seq, o.data.decode()) for o in crashstates.read_journal(recording.journal) if o.op == crashstates.MARK]
        ended = sum(m.startswith('closed') for _, m in marks) == 2
        points = {seq for seq, m in marks[-2:]}         # opened and closed again
        done, failed = check_points(tools, recording, points, scope.path('state'), ('posix', 'ext4'), 1, 1000, keep, states)
        states += done
        failures += failed
        shutil.rmtree(os.path.dirname(recording.journal))
        operation += step
    report.check(states and not failures, 'killed at every %d. operation up to %d, opened, power lost: %d states' % (step, operation, states),
                 '%d failed\n%s' % (len(failures), '\n'.join(failures[:SHOWN])))


def prove(scope, tools, chance, report, points, count_all):
    """Each omitted fsync must be noticed."""
    for number, (what, patterns) in enumerate(OMISSIONS_WITH_VERDICTS if tools.verdicts else OMISSIONS):
        recording = record(scope, tools, chance, 'omission%d' % number, random_runs(chance, 25, 1), omit=patterns)
        opened = {o.seq for o in crashstates.read_journal(recording.journal) if o.op == crashstates.MARK and o.data.startswith(b'opened')}
        done, failures = check_recording(scope, tools, recording, recording.points(chance, points) | opened, ('posix',), 1,
                                         1000 if count_all else 1)
        first = failures[0] if failures else ''
        report.check(failures, 'without the fsync of %s %d of %d states fail: %s' % (what, len(failures), done, first))
        os.unlink(recording.journal)


def main(report):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True)
    parser.add_argument('--points', type=int, default=60, help='points of each recording (default 60)')
    parser.add_argument('--rand', type=int, default=1, help='random states of each point and model (default 1)')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--commits', type=int, default=60, help='commits of each run of the writer (default 60)')
    parser.add_argument('--kills', type=int, default=4, help='runs that are killed (default 4)')
    parser.add_argument('--followers', type=int, default=1, help='recordings that begin with a state after a power loss (default 1)')
    parser.add_argument('--restart-step', type=int, default=10, help='0: no restarts; else kill at every so manyth operation (default 10)')
    parser.add_argument('--verdicts', action='store_true')
    parser.add_argument('--no-proof', action='store_true')
    parser.add_argument('--only-proof', action='store_true')
    parser.add_argument('--proof-points', type=int, default=0, help='check so many points of each omission to the end, and count')
    parser.add_argument('--keep')
    args = parser.parse_args()
    report.say('seed %d' % args.seed)
    chance = random.Random(args.seed)
    with Scope('powercut', keep_logs_in=args.build, base=MEMORY) as scope:
        tools = Tools(scope, os.path.abspath(args.build))
        tools.verdicts = args.verdicts
        recordings = []
        if args.points and not args.only_proof:
            recordings.append(record(scope, tools, chance, 'first', random_runs(chance, args.commits, args.kills)))
        for n in range(args.followers if recordings else 0):
            before = some_state(scope, tools, chance.choice(recordings), chance, 'follower%d' % n)
            if before:
                recordings.append(record(scope, tools, chance, 'follower%d' % n,
                                         random_runs(chance, args.commits // 2, args.kills // 2), before))
        if recordings:                              # the journal's fsync among them, with and without the record on disk
            runs = [(args.commits // 4, 0, chance.choice((errno.ENOSPC, errno.EIO))) for _ in range(SYNC_FAIL_RUNS)]
            recordings.append(record(scope, tools, chance, 'fsyncs fail', runs))
        report.say('%d recordings' % len(recordings))
        for r in recordings:
            done, failures = check_recording(scope, tools, r, r.points(chance, args.points), rand=args.rand, keep=args.keep)
            report.check(done and not failures, '%s: %d states after a power loss' % (r.name, done),
                         '%d failed\n%s' % (len(failures), '\n'.join(failures[:SHOWN])))
        if args.restart_step and not args.only_proof:
            restarts(scope, tools, chance, report, args.restart_step, args.keep)
        if not args.no_proof:
            prove(scope, tools, chance, report, args.proof_points or 40, args.proof_points)
        scope.failed = report.failed > 0


if __name__ == '__main__':
    reports.run('powercut', main)
