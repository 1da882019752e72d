#!/usr/bin/env python3
"""Under --icount the same guest gives the same output, after the same number of instructions."""
import json
import os
import tempfile
import unittest

import guest

GUESTS = {
    "hello": (),
    "pit": ("--debug-exit", "-k", guest.path("pit")),
    "rtc": ("--debug-exit", "-k", guest.path("rtc")),
    "lapic": ("--debug-exit", "-k", guest.path("lapic")),
    "x2apic": ("--debug-exit", "-k", guest.path("lapic"), "-a", "x2apic"),
    "ioapic": ("--debug-exit", "-k", guest.path("ioapic")),
    "uart": ("--debug-exit", "-k", guest.path("uart")),
    "exceptions": ("--debug-exit", "-k", guest.path("exceptions")),
    "garbage": ("--debug-exit", "-m", "64M", "-k", guest.path("hostile"), "-a",
                "garbage-user rounds=300"),
}
# Of the figures of --stats, those that are the guest's and not the host's.
FIGURES = ("instructions", "interrupts", "faults", "exits")


class Repeat(unittest.TestCase):
    def once(self, arguments):
        with tempfile.TemporaryDirectory() as folder:
            path, com1 = os.path.join(folder, "stats"), os.path.join(folder, "com1")
            with guest.Run("--icount", "--trace", "exceptions,interrupts", "--stats=" + path,
                           "--console", "file:" + com1, *arguments) as machine:
                status = machine.wait(60)
                self.assertIsNotNone(status, machine.tail())
                with open(path) as file:
                    stats = json.load(file)
                with open(com1, "rb") as file:
                    output = file.read()
                return status, output, machine.text(), {name: stats[name] for name in FIGURES}


def make(arguments):
    def test(self):
        first, second = self.once(arguments), self.once(arguments)
        for one, other in zip(first, second):
            self.assertEqual(one, other)
        self.assertGreater(first[3]["instructions"], 1000)
    return test


for name, arguments in GUESTS.items():
    setattr(Repeat, "test_" + name, make(arguments))

unittest.main(verbosity=2)
