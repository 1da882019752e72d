#!/usr/bin/env python3
"""A recorded session of Linux, with a reboot in it, is the same to the last byte when replayed."""
import os
import tempfile
import unittest

import harness


class Replay(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "record")

    def replay(self, *arguments, **options):
        with harness.linux("--replay", self.path, *arguments, **options) as machine:
            status, errors = machine.finish(harness.BOOT_TIME)
            return status, errors, machine.raw

    def test_session(self):
        with harness.linux("--record", self.path, terminal=True) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            machine.command("cat /proc/uptime; head -c 16 /dev/urandom | md5sum")
            machine.command("sleep 0.2; date")
            machine.send("reboot\n")
            machine.expect("machine made by Ringer", harness.BOOT_TIME)
            machine.expect("^" + harness.PROMPT)
            machine.command("cat /proc/uptime; head -c 16 /dev/urandom | md5sum")
            machine.send("\x01x")
            self.assertEqual(machine.finish(), (0, ""))
            recorded = machine.raw
        status, errors, replayed = self.replay(terminal=True)
        self.assertEqual((status, errors), (0, "ringer: the recording ends here\n"))
        self.assertEqual(replayed, recorded)
        # Another machine is refused.
        status, errors, _ = self.replay("--memory", "256M")
        self.assertEqual(status, 1)
        self.assertRegex(errors, "^ringer: replay file '.*/record': was recorded with another size "
                                 r"of memory \(by Ringer .*\)\n$")


harness.main()
