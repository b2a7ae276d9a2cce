"""Counting of checks, and the last line that tests/run.sh reads."""
import sys
import threading
import time


class Report:
    """For several threads."""

    def __init__(self):
        self.passed = self.failed = 0
        self.lock = threading.Lock()
        self.start = time.monotonic()

    def say(self, text):
        print('[%6.1f s] %s' % (time.monotonic() - self.start, text), flush=True)

    def check(self, good, what, detail=''):
        """Counts one check; detail (text, or a function that makes it) is shown when it failed."""
        with self.lock:
            self.passed += bool(good)
            self.failed += not good
        if good:
            self.say('ok: %s' % what)
        else:
            detail = detail() if callable(detail) else detail
            self.say('FAILED: %s%s' % (what, '\n    ' + str(detail).strip().replace('\n', '\n    ') if detail else ''))
        return bool(good)

    def same(self, found, expected, what):
        return self.check(found == expected, what, 'found %r, expected %r' % (found, expected))

    def finish(self):
        """Prints the last line and returns the exit code."""
        print('%d passed, %d failed' % (self.passed, self.failed), flush=True)
        return 1 if self.failed or not self.passed else 0


def run(name, main):
    """Runs main(report) and turns whatever ends it into a failure with its reason."""
    report = Report()
    try:
        main(report)
    except KeyboardInterrupt:
        print('%s: interrupted' % name, file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as e:      # the traceback says where, the last line still counts it
        import traceback
        traceback.print_exc()
        report.check(False, '%s ran to its end' % name, '%s: %s' % (type(e).__name__, e))
    raise SystemExit(report.finish())
