#!/usr/bin/env python3
"""A guest is kept in a directory, and goes on from there; and what is no snapshot is refused."""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness

# A checksum goes on in the background; what it says does not depend on when it is interrupted.
LOOP = ("(i=0; s=0; while [ $i -lt %d ]; do i=$((i+1)); s=$(((s*31+i)%%1000003)); done; "
        "echo $i $s >/sum) &")


def checksum(count):
    s = 0
    for i in range(1, count + 1):
        s = (s * 31 + i) % 1000003
    return "%d %d" % (count, s)


def ringer(*arguments, timeout=60):
    return subprocess.run([harness.RINGER, *arguments], capture_output=True, text=True,
                          timeout=timeout)


class Directory(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="ringer-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.control = os.path.join(self.directory, "control")
        self.snapshot = os.path.join(self.directory, "snapshot")

    def boot(self, *arguments):
        machine = harness.linux("--control", self.control, *arguments)
        self.addCleanup(machine.__exit__)
        machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
        return machine

    def take(self, *arguments):
        result = ringer("snapshot", *arguments, self.control, self.snapshot)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def restore(self, *arguments):
        machine = harness.Machine("--restore", self.snapshot, *arguments)
        self.addCleanup(machine.__exit__)
        return machine


class Linux(Directory):
    def go_on(self, *arguments):
        machine = self.boot(*arguments)
        machine.command("word=kept; cd /tmp")
        machine.command(LOOP % 60000)
        before = float(machine.command("cut -d' ' -f1 /proc/uptime"))
        self.take()
        self.assertEqual(sorted(os.listdir(self.snapshot)), ["memory", "state"])
        self.assertIn("kept", machine.command("echo $word"))     # it goes on itself
        os.killpg(machine.process.pid, signal.SIGKILL)
        machine.process.wait()
        for engine in harness.ENGINE and [[]] or [["-e", "interp"],
                                                  ["-e", "hybrid", "--unprotected"]]:
            clone = self.restore(*engine)
            clone.send("\n")
            clone.expect("^" + harness.PROMPT)
            self.assertIn("kept /tmp", clone.command("echo $word $PWD"))
            after = float(clone.command("cut -d' ' -f1 /proc/uptime"))
            self.assertTrue(before <= after < before + 30, (before, after))
            answer = clone.command("wait; cat /sum", 120)
            self.assertIn(checksum(60000), answer)
            start = time.monotonic()
            clone.command("sleep 1")    # timers go on
            self.assertGreater(time.monotonic() - start, 0.9)
            self.assertLess(abs(float(clone.command("hwclock -r >/dev/null 2>&1; "
                                                    "cat /sys/class/rtc/rtc0/since_epoch")) -
                                time.time()), 5)    # the battery clock went on meanwhile
            clone.send("poweroff\n")
            self.assertEqual(clone.finish(), (0, ""))

    def test_goes_on(self):
        self.go_on()

    def test_two_cpus(self):
        self.go_on("-c", "2")


if __name__ == "__main__":
    harness.main()
