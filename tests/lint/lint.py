#!/usr/bin/env python3
"""Checks the tree against the rules of the project; prints PATH:LINE: what is wrong; exit 1 if anything is.

    lint.py [ROOT]          all rules (ROOT: default the tree that this file lies in)
    lint.py --rules         what the rules are
"""
import os
import sys

import rules_c
import rules_tree
from tree import Tree

RULES = rules_c.RULES + rules_tree.RULES


def problems(root):
    tree = Tree(root)
    for rule in RULES:
        yield from rule(tree)


def main(argv):
    if argv[1:] == ['--rules']:
        for rule in RULES:
            print(f'{rule.__name__:16} {rule.__doc__}')
        return 0
    root = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    found = 0
    for problem in problems(os.path.realpath(root)):
        print(problem)
        found += 1
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
