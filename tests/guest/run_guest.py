#!/usr/bin/env python3
"""Runs the rows of guests.txt that are named: run_guest.py NAME...

RINGER in the environment is the program, TEST_GUESTS the folder with the test guests.
"""
import os
import re
import shlex
import sys
import time

import guest

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guests.txt")


def rows():
    with open(TABLE) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                yield [cell.strip() for cell in line.split("|", 5)]


def run(row):
    """Runs a row; returns None or what is wrong."""
    name, program, options, ends, seconds, pattern = row
    arguments = shlex.split(options)
    if program != "-":
        arguments += ["-k", guest.path(program)]
    with guest.Run(*arguments) as machine:
        status = machine.wait(float(seconds))
        if ends == "runs":
            if status is not None:
                return "ended with %d\n%s" % (status, machine.text())
            problem = machine.end()
            if problem:
                return problem
        elif status is None:
            return "goes on after %s s\n%s" % (seconds, machine.text())
        elif str(status) not in ends.split(","):
            return "ended with %d instead of %s\n%s" % (status, ends, machine.text())
        text = machine.text()
        if not re.search(pattern, text, re.S):
            return "did not print /%s/\n%s" % (pattern, text)
        if re.search(r"(?m)^FAIL", text):
            return text
        return machine.leftovers()


def main():
    wanted = sys.argv[1:]
    failed = 0
    for row in rows():
        if not wanted or row[0] in wanted:
            start = time.monotonic()
            problem = run(row)
            failed += bool(problem)
            print("%s %s (%.1f s)%s" % ("FAIL" if problem else "ok  ", row[0],
                                        time.monotonic() - start,
                                        "\n" + problem if problem else ""), flush=True)
    sys.exit(1 if failed else 0)


main()
