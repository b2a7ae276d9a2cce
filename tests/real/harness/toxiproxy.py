"""A TCP proxy that delays, throttles and cuts, through tests/testbed/toxiproxy.sh."""
import os

from .scope import TESTBED, free_port

SCRIPT = os.path.join(TESTBED, 'toxiproxy.sh')


class Toxiproxy:
    """Any number of proxies by name, each from a port of its own to another on loopback."""

    def __init__(self, scope, name='toxiproxy'):
        self.scope, self.dir = scope, scope.path(name)
        with open(self.dir + '.log', 'ab') as log:      # the script's pipes must not be inherited by the proxy for ever
            scope.run_logged(['bash', SCRIPT, 'start', self.dir, str(free_port())], log, timeout=600)
        scope.at_end(lambda: self._script('stop'))

    def _script(self, command, *args):
        self.scope.run(['bash', SCRIPT, command, self.dir, *map(str, args)])

    def proxy(self, name, port, upstream_port):
        """Listens on port."""
        self._script('proxy', name, port, upstream_port)

    def toxic(self, name, kind, **attributes):
        """Both ways; see the script's head."""
        self._script('toxic', name, kind, *('%s=%d' % pair for pair in attributes.items()))

    def clear(self, name):
        """No toxic any more; what a timeout=0 had swallowed costs its connections."""
        self._script('clear', name)

    def up(self, name):
        self._script('up', name)

    def down(self, name):
        """Ends its connections and refuses new ones."""
        self._script('down', name)
