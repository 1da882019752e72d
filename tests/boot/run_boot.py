#!/usr/bin/env python3
"""Runs a row of boots.txt on an engine: run_boot.py --engine NAME ROW

A row that the engine leaves out, by ../engines.txt, is skipped with the reason: status 77.
"""
import argparse
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(FOLDER))

import engines

SKIPPED = 77


def main():
    parser = argparse.ArgumentParser(description="Run a boot test on an engine.")
    parser.add_argument("--engine", required=True)
    parser.add_argument("row")
    arguments = parser.parse_args()
    options, why = engines.options(arguments.engine, arguments.row, is_boot=True)
    if why:
        print("skipped on %s: %s" % (arguments.engine, why))
        sys.exit(SKIPPED)
    for name, command, _ in engines.rows("boot/boots.txt", 3):
        if name == arguments.row:
            os.environ["ENGINE"] = " ".join(options)
            program, *words = command.split()
            os.execv(sys.executable, [sys.executable, os.path.join(FOLDER, program), *words])
    sys.exit("there is no row " + arguments.row)


main()
