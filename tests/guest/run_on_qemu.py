#!/usr/bin/env python3
"""Runs test guests on QEMU, to compare: run_on_qemu.py [--accel kvm] NAME...

NAME is a row of guests.txt; of its options the command line and the number of CPUs are used.
TEST_GUESTS in the environment is the folder with the test guests.  What is printed is the guest's
own text but for the lines that are ok; what QEMU does otherwise is not always wrong: see
docs/test-guests.md.
"""
import argparse
import os
import shlex
import subprocess
import sys

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guests.txt")
DEVICES = ["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-serial", "null",
           "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
CPU = {"tcg": "max,vendor=GenuineIntel", "kvm": "host"}
GOOD = 33


def rows():
    with open(TABLE) as file:
        for line in file:
            cells = [cell.strip() for cell in line.split("|", 5)]
            if len(cells) == 6 and not line.startswith("#") and cells[1] != "-":
                yield cells[0], cells[1], shlex.split(cells[2]), float(cells[4])


def option(options, name, otherwise):
    return options[options.index(name) + 1] if name in options else otherwise


def run(accel, program, options, seconds):
    """Returns the exit status, or None if it takes too long, and the text."""
    command = ["qemu-system-x86_64", "-accel", accel, "-cpu", CPU[accel], "-m", "256",
               "-smp", option(options, "-c", "1"), "-append", option(options, "-a", ""),
               "-kernel", os.path.join(os.environ["TEST_GUESTS"], program + ".elf"), *DEVICES]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        return None, expired.stdout or b""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accel", choices=CPU, default="tcg")
    parser.add_argument("names", nargs="+", metavar="NAME")
    arguments = parser.parse_args()
    bad = 0
    for name, program, options, seconds in rows():
        if name in arguments.names:
            status, text = run(arguments.accel, program, options, seconds)
            for line in text.decode("latin1").replace("\r", "").split("\n"):
                if line and not line.startswith("ok"):
                    print(line)
            print("%s %s: %s" % ("ok  " if status == GOOD else "FAIL", name, status), flush=True)
            bad += status != GOOD
    sys.exit(1 if bad else 0)


main()
