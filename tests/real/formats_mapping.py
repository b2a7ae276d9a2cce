"""What formats json and value mean, read independently of Varve from config/json-mappings.md and interface: rows of a message."""
import datetime
import json
import re
from decimal import Decimal

STEP = re.compile(r"\.(\*|[^.\[\]]+)|\[(?:'([^']*)'|(\d+)|(\*))\]")
REFERENCE = re.compile(r'\$\{(\$[^}]*)\}|\$\{?(topic_last|topic|#|\d+)\}?')
ANY = object()


class Number(str):
    """A number as it was written."""


def parse(text):
    return json.loads(text, parse_int=Number, parse_float=Number)


def steps(path):
    """'$.a[0]' -> (whether it starts at the document, its steps)"""
    of_document = path.startswith('$$')
    out, at, path = [], 0, path[1 + of_document:]
    while at < len(path):
        m = STEP.match(path, at)
        dotted, quoted, index, star = m.groups()
        out.append(ANY if star or dotted == '*' else int(index) if index else dotted if quoted is None else quoted)
        at = m.end()
    return of_document, out


def find(value, path):
    """All values at the end of the steps, with the way there."""
    if not path:
        yield (), value
        return
    if isinstance(value, dict):
        items = value.items() if path[0] is ANY else [(path[0], value[path[0]])] if path[0] in value else ()
    elif isinstance(value, list):
        items = enumerate(value) if path[0] is ANY else [(path[0], value[path[0]])] if isinstance(path[0], int) and path[0] < len(value) else ()
    else:
        return
    for name, below in items:
        for way, found in find(below, path[1:]):
            yield (name, *way), found


def number(value, texts=False):
    if isinstance(value, bool) or isinstance(value, Number) or texts and isinstance(value, str):
        return float(value)
    return None


def leaves(value, way=()):
    if isinstance(value, (dict, list)):
        for name, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(below, (*way, name))
    else:
        yield way, value


def text(value):
    return {True: 'true', False: 'false'}[value] if isinstance(value, bool) else str(value)


def milliseconds(value, form):
    """None: the reading has no time."""
    if value is None or form in ('rfc3339', 'auto') and not re.fullmatch(r'-?[\d.]+(e\d+)?', value):
        return None if value is None else round(datetime.datetime.fromisoformat(value.replace('Z', '+00:00')).timestamp() * 1000)
    n = Decimal(value)
    if form == 'auto':
        form = 'ns' if n >= 10 ** 17 else 'us' if n >= 10 ** 14 else 'ms' if n >= 10 ** 11 else 's'
    return int(n * {'ns': Decimal('1e-6'), 'us': Decimal('1e-3'), 'ms': 1, 's': 1000}[form]) or None


class Mapping:
    """The keys of `json:`."""

    def __init__(self, each='$', time='', time_format='auto', name='$topic_last', labels=None, fields=()):
        self.each, self.time, self.time_format, self.name, self.labels, self.fields = each, time, time_format, name, labels or {}, fields

    def rows(self, body, surroundings):
        """surroundings: {'topic_last': ..., '1': ...} -> [(labels, time in ms or None, value)]"""
        document = parse(body)
        path = steps(self.each)[1]
        if self.each == '$' and isinstance(document, list):
            path = [ANY]
        return [row for _, reading in find(document, path) for row in self._of_reading(reading, document, surroundings)]

    def _of_reading(self, reading, document, surroundings):
        taken = set()

        def value(path):
            of_document, way = steps(path)
            found = [v for _, v in find(document if of_document else reading, way)]
            if not of_document:
                taken.add(tuple(way))
            return found[0] if found else None

        def reference(m):
            return text(value(m.group(1))) if m.group(1) else surroundings.get(m.group(2), '')

        labels = {name: text(value(path)) for name, path in self.labels.items()}
        prefix = REFERENCE.sub(reference, self.name)
        when = milliseconds(value(self.time), self.time_format) if self.time else None
        for name, v in self._fields(reading, taken):
            yield {'__name__': '_'.join(x for x in (prefix, name) if x), **{k: v for k, v in labels.items() if v}}, when, v

    def _fields(self, reading, taken):
        if not self.fields:
            for way, v in leaves(reading):
                if way not in taken and number(v) is not None:
                    yield '_'.join(map(str, way)), number(v)
        for spec in self.fields:
            path, _, name = spec.partition(' as ')
            way = steps(path)[1]
            below = way[-1] is ANY
            for _, found in find(reading, way[:-1] if below else way):
                base = [name] if name else [] if below else list(way)
                for further, v in leaves(found):
                    if number(v, texts=not further) is not None:
                        yield '_'.join(map(str, [*base, *further])), number(v, texts=not further)


WORDS = {'true': 1.0, 'on': 1.0, 'false': 0.0, 'off': 0.0}


def value_of(body):
    """Format value: the number that the payload is."""
    word = body.decode().strip(' \t\r\n\0').lower()
    return WORDS[word] if word in WORDS else float(word)
