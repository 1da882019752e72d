#!/usr/bin/env python3
"""The memory balloon: what the guest gives away or has free takes nothing of the host."""
import hashlib
import os
import subprocess
import tempfile
import time
import unittest

import harness

MIB = 1 << 20


def resident(machine):
    """MiB of the host's that the guest's memory takes: the blocks of its memfd."""
    folder = "/proc/%d/fd" % machine.process.pid
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.readlink(path).startswith("/memfd:ringer-ram"):
            return os.stat(path).st_blocks * 512 // MIB
    raise AssertionError("there is no memfd with the guest's memory")


class Balloon(unittest.TestCase):
    def boot(self, machine):
        machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)

    def monitor(self, machine, command, pattern):
        """Gives the monitor a command; returns the match of what it says."""
        machine.send("\x01c")
        machine.expect(r"\(ringer\) ")
        machine.send(command + "\r")
        match = machine.expect(pattern)
        machine.send("\x01c\n")
        machine.expect("^" + harness.PROMPT)
        return match

    def wait_for(self, machine, condition, what):
        end = time.monotonic() + harness.COMMAND_TIME
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            machine.read(0.2)

    def balloon(self, machine, mib):
        """Asks for a size, and waits until the guest has it."""
        self.monitor(machine, "balloon %d" % mib, r"\(ringer\) ")
        self.wait_for_actual(machine, mib)

    def wait_for_actual(self, machine, mib):
        end = time.monotonic() + harness.COMMAND_TIME
        while int(self.monitor(machine, "info balloon", r"actual=(\d+) ").group(1)) != mib:
            self.assertLess(time.monotonic(), end)

    def fill(self, machine, mib):
        """A file that takes so much of the guest's memory, the end of which is looked at."""
        text = b"".join(b"%d\n" % i for i in range(1, 100001))
        answer = machine.command("dd if=/dev/zero of=/tmp/full bs=1M count=%d 2>/dev/null; "
                                 "seq 1 100000 >>/tmp/full; "
                                 "tail -c %d /tmp/full | sha256sum" % (mib, len(text)))
        self.assertIn(hashlib.sha256(text).hexdigest(), answer)

    def finish(self, machine):
        self.assertNotRegex(machine.command("dmesg"), "Call Trace|BUG:|WARNING:|Out of memory")
        machine.send("poweroff\n")
        self.assertEqual(machine.finish(), (0, ""))

    def test_balloon(self):
        """The guest reports no free pages: what comes back here comes by the balloon."""
        with harness.linux("--balloon", terminal=True) as machine:
            self.boot(machine)
            machine.command("echo 11 >/sys/module/page_reporting/parameters/page_reporting_order")
            self.fill(machine, 160)
            machine.command("rm /tmp/full; sleep 4")
            before = resident(machine)
            self.assertGreater(before, 160)
            self.balloon(machine, 128)
            self.wait_for(machine, lambda: resident(machine) < before - 80, "memory did not come back")
            self.assertLess(resident(machine), 140)
            free = int(machine.command("awk '/MemFree/ { print $2 }' /proc/meminfo"))
            self.assertLess(free, 128 * 1024)
            # More than it has left: the guest takes back what it needs.
            self.fill(machine, 160)
            self.assertGreater(resident(machine), 160)
            machine.command("rm /tmp/full")
            self.balloon(machine, 512)
            self.fill(machine, 200)
            match = self.monitor(machine, "info balloon",
                                 r"the guest has (\d+) MiB free, (\d+) available of (\d+); (\d+) in")
            self.assertGreater(int(match.group(4)), 199)
            self.finish(machine)

    def test_free_pages(self):
        """After a program's end its memory comes back by itself."""
        with harness.linux("--balloon") as machine:
            self.boot(machine)
            self.fill(machine, 160)
            full = resident(machine)
            self.assertGreater(full, 160)
            machine.command("rm /tmp/full")
            self.wait_for(machine, lambda: resident(machine) < full - 130,
                          "memory did not come back")
            self.fill(machine, 160)     # and is there again
            self.finish(machine)

    def test_from_the_start(self):
        with harness.linux("--balloon=200M") as machine:
            self.boot(machine)
            self.wait_for(machine, lambda: int(machine.command(
                "awk '/MemFree/ { print $2 }' /proc/meminfo")) < 200 * 1024, "no balloon")
            self.finish(machine)
        status, _, errors = harness.run("--balloon=1G")
        self.assertEqual(status, 1)
        self.assertEqual(errors, "ringer: balloon: the machine has no 1024 MiB of memory to keep to\n")

    def test_without(self):
        with harness.linux(terminal=True) as machine:
            self.boot(machine)
            self.monitor(machine, "info balloon", "the machine has no balloon")
            self.monitor(machine, "balloon 100", "the machine has no balloon")
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)

    def test_snapshot(self):
        """A machine that goes on from a snapshot has its balloon and its virtio console still."""
        with tempfile.TemporaryDirectory() as folder:
            control, kept, said = (os.path.join(folder, name) for name in ("c", "kept", "said"))
            with harness.linux("--balloon=200M", "--hvc", "none", "--hvc", "file:" + said,
                               "--control", control) as machine:
                self.boot(machine)
                machine.command("exec 3>/dev/hvc0; echo before >&3")
                subprocess.run([harness.RINGER, "snapshot", control, kept], check=True)
            with harness.Machine("--restore", kept, "--hvc", "file:" + said + "2",
                                 terminal=True) as machine:
                machine.send("echo after >&3\n")
                machine.expect("^" + harness.PROMPT)
                self.wait_for_actual(machine, 200)  # it was on its way, perhaps
                self.balloon(machine, 512)
                self.fill(machine, 200)
                self.finish(machine)
            for path, text in ((said, "before"), (said + "2", "after")):
                with open(path, encoding="latin1") as file:
                    self.assertEqual(file.read().split(), [text])
            status, _, errors = harness.run("--restore", kept, "--balloon")
            self.assertEqual(status, 1)
            self.assertIn("--balloon: with --restore that is as the snapshot has it", errors)

    def test_replay(self):
        """The user's wishes are inputs, which a recording keeps."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "record")
            with harness.linux("--balloon", "--record", path, terminal=True) as machine:
                self.boot(machine)
                self.balloon(machine, 300)
                said = machine.command("cat /proc/meminfo")
                machine.send("poweroff\n")
                self.assertEqual(machine.finish(), (0, ""))
            with harness.linux("--balloon", "--replay", path, terminal=True) as machine:
                self.assertEqual(machine.finish(harness.BOOT_TIME), (0, ""))
                self.assertIn(said, machine.text)


harness.main()
