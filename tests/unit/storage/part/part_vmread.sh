#!/bin/sh
# Runs part_vmread.py with a Python that has zstandard.
set -eu
here=$(dirname "$0")
python=$(bash "$here/../../../testbed/python.sh")
exec "$python" "$here/part_vmread.py" "$@"
