#!/usr/bin/env python3
"""Runs the rows of guests.txt that are named, on an engine: run_guest.py [--engine NAME] [ROW...]

A row that the engine leaves out, by ../engines.txt, is skipped with the reason: status 77.

RINGER in the environment is the program, TEST_GUESTS the folder with the test guests.
"""
import argparse
import os
import re
import shlex
import sys
import time

import guest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import engines

SKIPPED = 77


IDLE = 0.02     # of a core, at most
SETTLE = 1.0    # seconds until a guest is at rest


def rest(machine, seconds):
    """Returns None or what is wrong with a guest that should be idle for so long."""
    status = machine.wait(SETTLE)
    pids = [machine.pid, *machine.vcpus]
    before = sum(map(guest.cpu_seconds, pids))
    if status is None:
        status = machine.wait(seconds)
    used = (sum(map(guest.cpu_seconds, pids)) - before) / seconds
    if status is not None:
        return "ended with %d\n%s" % (status, machine.text())
    return "uses %.1f%% of a core" % (used * 100) if used > IDLE else None


def run(row):
    """Runs a row; returns None or what is wrong."""
    name, program, options, ends, seconds, pattern = row
    ends = ends.split(",")
    arguments = shlex.split(options)
    if program != "-":
        arguments += ["-k", guest.path(program)]
    with guest.Run(*arguments) as machine:
        if "idle" in ends:
            problem = rest(machine, float(seconds)) or machine.end()
            status = "idle"
        else:
            problem = None
            status = machine.wait(float(seconds))
            if status is None:
                problem = machine.end()
                status = "runs"
        text = machine.text()
        if problem:
            return problem
        if str(status) not in ends:
            return "ends with %s instead of %s\n%s" % (status, ends, text[-4000:])
        if not re.search(pattern, text, re.S):
            return "did not print /%s/\n%s" % (pattern, text[-4000:])
        return machine.leftovers()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine")
    parser.add_argument("rows", nargs="*")
    arguments = parser.parse_args()
    failed, run_any, why = 0, False, None
    for row in engines.rows("guest/guests.txt", 6):
        if not arguments.rows or row[0] in arguments.rows:
            if arguments.engine:
                guest.ENGINE, why = engines.options(arguments.engine, row[0])
            if "-e " in row[2] and arguments.engine != "interp":
                why = why or "it names its engine"
            if why:
                print("skip %s: %s" % (row[0], why))
                continue
            run_any = True
            start = time.monotonic()
            problem = run(row)
            failed += bool(problem)
            print("%s %s (%.1f s)%s" % ("FAIL" if problem else "ok  ", row[0],
                                        time.monotonic() - start,
                                        "\n" + problem if problem else ""), flush=True)
    sys.exit(1 if failed else 0 if run_any else SKIPPED)


main()
