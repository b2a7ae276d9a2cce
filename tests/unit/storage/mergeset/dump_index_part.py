#!/usr/bin/env python3
"""Prints the items of an index part as tests/testbed/vmread.py reads it: u32 length, bytes, for each. Exit code 1 if it
breaks the format."""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', 'testbed'))
import vmread  # noqa: E402

for block, _ in vmread.IndexPart(sys.argv[1]).read_blocks():
    for item in block:
        sys.stdout.buffer.write(struct.pack('>I', len(item)) + item)
