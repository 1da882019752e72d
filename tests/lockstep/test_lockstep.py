#!/usr/bin/env python3
"""`ringer lockstep` on guests: where engines are equal, and which instruction it names where not.

RINGER in the environment is the program, TEST_GUESTS the folder with the test guests, GUEST the one with
vmlinuz and initramfs.cpio.  Mistakes in its options are tests/boot/test_command_line.py's; an engine
that is wrong on purpose is tests/unit/test_vm_lockstep.c's.
"""
import os
import subprocess
import sys
import unittest

import boot

TEST_GUESTS = os.environ["TEST_GUESTS"]
DIFFERENT = 123

# Guests that have user code, for hybrid to run directly.
WITH_USER_CODE = ["syscalls", "exceptions", "debug", "fpu", "paging", "privileges", "smc", "tasks", "v86"]


def lockstep(engines, guest, *arguments):
    """Its status and what it says of engines; the guest's words are its own affair."""
    result = subprocess.run(
        [boot.RINGER, "lockstep", "--engines", engines, "--unprotected", "--debug-exit",
         "-k", os.path.join(TEST_GUESTS, guest + ".elf"), *arguments],
        capture_output=True, timeout=250, text=True)
    return result.returncode, result.stderr


class Guests(unittest.TestCase):
    def assert_equal(self, engines, guest, *arguments):
        status, said = lockstep(engines, guest, *arguments)
        self.assertEqual(status, 0, said)
        self.assertRegex(said, r"\A\S+ and \S+ are equal: \d+ instructions, registers at \d+ events, "
                               r"memory \d+ times\n\Z")

    def test_hybrid(self):
        for guest in WITH_USER_CODE:
            with self.subTest(guest=guest):
                self.assert_equal("hybrid,interp", guest)

    def test_without_cache(self):
        for guest in ("trapping", "smc", "tasks"):
            with self.subTest(guest=guest):
                self.assert_equal("interp,interp-nocache", guest)

    def test_often(self):
        self.assert_equal("hybrid,interp-nocache", "syscalls", "--every", "1")

    def test_theorem_1(self):
        """Popek and Goldberg's condition holds for what the guest `trapping` does."""
        self.assert_equal("trap,interp", "trapping", "-a", "short")

    def assert_differs_at(self, engines, guest, cpl, mnemonic, *arguments):
        """Returns what is said."""
        status, said = lockstep(engines, guest, *arguments)
        self.assertEqual(status, DIFFERENT, said)
        lines = said.splitlines()
        at = [i for i, line in enumerate(lines) if line.startswith("the engines differ after")]
        self.assertEqual(len(at), 1, said)
        self.assertRegex(lines[at[0]], r"number \d+ at CPL %u:$" % cpl)
        self.assertRegex(lines[at[0] + 1], r"^  [0-9a-f]{16}  %s " % mnemonic)
        self.assertRegex(said, r"(?m)^  register +%s +%s$" % tuple(engines.split(",")))
        return said

    def test_where_theorem_1_fails(self):
        """The first sensitive instruction that does not trap is named, though only its load is looked at."""
        for guest in ("sensitive", "sensitive32"):
            with self.subTest(guest=guest):
                said = self.assert_differs_at("trap,interp", guest, 0, "sgdt")
                self.assertRegex(said, r"(?m)^\* memory [0-9a-f]{12}  [0-9a-f]{16}   [0-9a-f]{16}   \*$")

    def test_in_user_mode(self):
        """The engine that is wrong on purpose, against ones that count user code and that do not."""
        for engine in ("interp", "hybrid", "trap"):
            with self.subTest(engine=engine):
                said = self.assert_differs_at(engine + ",interp-wrong", "trapping", 3, "bswap",
                                              "-a", "short")
                self.assertRegex(said, r"(?m)^\* rflags +[0-9a-f]{15}2   [0-9a-f]{15}3   \*$")
                self.assertRegex(said, r"(?m)^  rip ")


@unittest.skipUnless(os.path.exists(boot.KERNEL), "there is no %s: make guest" % boot.KERNEL)
class Debian(unittest.TestCase):
    def test_boot(self):
        """The kernel's boot and init, up to a shell that powers off; `make lockstep` does more there."""
        self.assertEqual(boot.run("hybrid,interp", b"poweroff\n", "--unprotected"), 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
