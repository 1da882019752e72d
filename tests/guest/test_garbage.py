#!/usr/bin/env python3
"""Random bytes as a guest's kernel, of 64, 32 and 16 bits, with an IDT and without: whatever they do to
their machine, Ringer ends with a status that says so or runs until it is told to end."""
import os
import sys
import unittest

import guest

SEEDS = range(1, 1 + int(os.environ.get("GARBAGE_SEEDS", "6")))
SECONDS = 3

# Power-off or reset, a triple fault, the framework's own statuses.  With --debug-exit any odd status
# may come of a stray OUT, so there the value is not looked at.
ENDS = (0, 124)


class Garbage(unittest.TestCase):
    def check(self, bits, idt):
        for seed in SEEDS:
            words = ["garbage", "bits=%d" % bits, "seed=%d" % seed] + ([] if idt else ["noidt"])
            with self.subTest(words=words):
                with guest.Run("--no-reboot", "--debug-exit", "-m", "64M", "-k",
                               guest.path("hostile"), "-a", " ".join(words)) as machine:
                    status = machine.wait(SECONDS)
                    if status is None:
                        self.assertIsNone(machine.end())
                    else:
                        self.assertTrue(status in ENDS or status % 2, machine.text())
                        self.assertNotIn(status, (1, 125), machine.text())
                        self.assertIsNone(machine.leftovers())


def make(bits, idt):
    return lambda self: self.check(bits, idt)


for bits in (64, 32, 16):
    for idt in (True, False):
        setattr(Garbage, "test_%d_%s_idt" % (bits, "with" if idt else "without"), make(bits, idt))

unittest.main(verbosity=2)
