"""What a directory of Varve's must show, to itself and to a stock server that opens it: what a second stock server shows."""
import os

from . import stock as stocks
from .compare import Difference, Export, answers, canonical, lists
from .stock import Stock
from .varve import vmread


class Judge:
    """Compares a directory of Varve's, opened by a stock server, with the second stock server (peer)."""

    def __init__(self, report, scope, varve, peer, program, months, instant, ranges, selector):
        """months: starts (s) of two consecutive months that hold the data. instant, ranges: queries, asked at their end and over
        them. selector: the series that are compared by day, too."""
        self.report, self.scope, self.varve, self.peer, self.program = report, scope, varve, peer, program
        self.start, self.end = months[0], months[1] + 29 * 86400
        self.queries = [(q, None) for q in instant] + [(q, 21600) for q in ranges]
        self.selector = selector

    def compare(self, stage):
        """Varve is stopped. Leaves the directory closed."""
        check, peer = self.report.check, self.peer
        peer.settle()
        expected = Export(peer.export())
        self.report.say('%s: %d rows in %d series' % (stage, expected.rows, len(expected.series)))
        own = self.varve.export()
        difference = Difference(own, expected)
        check(not difference, stage + ': varve export equals', lambda: difference)
        check(self.varve.command('verify', self.varve.dir).returncode == 0, stage + ': varve verify finds nothing')
        try:
            difference = Difference(vmread(self.scope, self.varve.dir), expected)
            check(not difference, stage + ': vmread.py agrees', lambda: difference)
        except Exception as e:      # the other comparisons say more about the fault
            check(False, stage + ': vmread.py agrees', e)
        stock = Stock(self.scope, self.varve.dir, 'stock-on-varve', program=self.program).start()
        self.compare_servers(stage, stock, expected)
        stock.stop()

    def compare_servers(self, stage, stock, expected):
        check, peer = self.report.check, self.peer
        difference = Difference(Export(stock.export()), expected)
        check(not difference, stage + ': export of the stock server equals', lambda: difference)
        found, want = (sorted(map(canonical, s.series())) for s in (stock, peer))
        check(found == want and len(want) >= len(expected.series), stage + ': /api/v1/series equals', lambda: lists(found, want))
        names, want_names = stock.labels(), peer.labels()
        check(names == want_names and names, stage + ': /api/v1/labels equals', lambda: lists(names, want_names))
        # the whole time goes by the index of the table, a day by the index of that day
        day = (self.start + 9 * 86400, self.start + 10 * 86400 - 1)
        bad, compared = [], 0
        for span in (None, day, (self.start, self.start + 28 * 86400)):
            for name in want_names:
                values, want_values = stock.label_values(name, span), peer.label_values(name, span)
                compared += len(want_values)
                if values != want_values:
                    bad.append('%s in %s: %s' % (name, span, lists(values, want_values)))
        check(not bad, '%s: %d values of %d labels equal' % (stage, compared, len(want_names)), '\n'.join(bad))
        found, want = (sorted(map(canonical, s.series(self.selector, day))) for s in (stock, peer))
        check(found == want, '%s: the %d series of one day equal' % (stage, len(want)), lambda: lists(found, want))
        bad = []
        empty = []
        for text, step in self.queries:
            if step:
                one, other = (s.query_range(text, self.start, self.end, step) for s in (stock, peer))
            else:
                one, other = (s.query(text, self.end) for s in (stock, peer))
            empty += [] if other['result'] else [text]
            good, why = answers(one, other)
            if not good:
                bad.append('%s: %s' % (text, why))
        check(not bad, '%s: %d queries have equal answers (%d empty)' % (stage, len(self.queries), len(empty)), '\n'.join(bad))
        check(not empty, stage + ': each query finds something', '\n'.join(empty))

    def running_answers(self):
        """The running Varve's own export of everything equals the peer's."""
        report, varve, peer = self.report, self.varve, self.peer
        varve.flush()
        peer.settle()
        difference = Difference(Export(varve.http.get('/api/v1/export', [('match[]', stocks.EVERYTHING), *stocks.FAR]).splitlines()), Export(peer.export()))
        report.check(not difference, 'export of the running Varve equals', lambda: difference)
        found, want = (sorted(map(canonical, s)) for s in
                       (varve.http.json('/api/v1/series', [('match[]', stocks.EVERYTHING), *stocks.FAR])['data'], peer.series()))
        report.check(found == want, '/api/v1/series of the running Varve equals', lambda: lists(found, want))

    def stop(self, what):
        """Stops Varve."""
        report, varve = self.report, self.varve
        code, seconds = varve.stop()
        report.check(code == 0 and seconds <= 10, '%s: SIGTERM ends it cleanly within 10 s (%.1f s)' % (what, seconds),
                     'exit code %s\n%s' % (code, varve.process.output()[-1500:]))
        report.check(not os.path.exists(os.path.join(varve.dir, 'restore-in-progress')), what + ': the guard is gone')
