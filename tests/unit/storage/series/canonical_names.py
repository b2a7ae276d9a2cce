#!/usr/bin/env python3
"""Canonical metric names, made from the format's description alone (victoriametrics-format 6), for comparison.

stdin: label sets; each u32 count, then per label u32 length and bytes of name and of value. stdout: u32 length and the canonical
name of each set.
"""
import struct
import sys

JOB = 'namespace 0 ns 1 datacenter 8 dc 9 environment c env d cluster 10 service 18 job 20 model 28 type 30 sensor_type 38 SensorType 38 db 40'
INSTANCE = 'instance 0 host 8 server 10 pod 18 node 20 device 28 tenant 30 client 38 name 40 measurement 48'
SORT_KEYS = {}
for group, table in enumerate((JOB, INSTANCE)):
    words = table.split()
    for name, rank in zip(words[::2], words[1::2]):
        for variant in (name, name[0].upper() + name[1:]):
            SORT_KEYS[variant.encode()] = bytes([0, group, int(rank, 16)])


def escape(text):
    return b''.join(bytes([0, 0x30 + c]) if c <= 2 else bytes([c]) for c in text) + b'\x01'


def canonical(labels):
    labels = [(name, value) for name, value in labels if value]
    groups = [value for name, value in labels if name in (b'', b'__name__')]
    tags = [label for label in labels if label[0] not in (b'', b'__name__')]
    tags.sort(key=lambda label: SORT_KEYS.get(label[0], label[0]))      # Python's sort is stable
    kept = [tag for k, tag in enumerate(tags) if k + 1 == len(tags) or tags[k + 1][0] != tag[0]]
    return escape(groups[-1] if groups else b'') + b''.join(escape(name) + escape(value) for name, value in kept)


def main():
    data, pos = sys.stdin.buffer.read(), 0

    def number():
        nonlocal pos
        pos += 4
        return struct.unpack_from('>I', data, pos - 4)[0]

    def text():
        nonlocal pos
        size = number()
        pos += size
        return data[pos - size:pos]

    while pos < len(data):
        name = canonical([(text(), text()) for _ in range(number())])
        sys.stdout.buffer.write(struct.pack('>I', len(name)) + name)


if __name__ == '__main__':
    main()
