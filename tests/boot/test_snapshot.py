#!/usr/bin/env python3
"""A guest is kept in a directory, and goes on from there; and what is no snapshot is refused."""
import os
import random
import shutil
import signal
import socket
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


def number(answer):
    """The first thing in what a command says; the shell may tell of a job behind it."""
    return float(answer.split()[0])


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

    def wait_for_control(self):
        end = time.monotonic() + 60
        while not os.path.exists(self.control):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

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
        machine.command(LOOP % 30000)
        before = number(machine.command("cut -d' ' -f1 /proc/uptime"))
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
            after = number(clone.command("cut -d' ' -f1 /proc/uptime"))
            self.assertTrue(before <= after < before + 30, (before, after))
            answer = clone.command("wait; cat /sum", 120)
            self.assertIn(checksum(30000), answer)
            start = time.monotonic()
            clone.command("sleep 1")    # timers go on
            self.assertGreater(time.monotonic() - start, 0.9)
            self.assertLess(abs(number(clone.command("hwclock -r >/dev/null 2>&1; "
                                                    "cat /sys/class/rtc/rtc0/since_epoch")) -
                                time.time()), 5)    # the battery clock went on meanwhile
            clone.send("poweroff\n")
            self.assertEqual(clone.finish(), (0, ""))

    def test_goes_on(self):
        self.go_on()

    def test_two_cpus(self):
        self.go_on("-c", "2")


class Doors(Directory):
    """How others reach a machine, and what they are told."""

    def test_help(self):
        result = ringer("snapshot", "--help")
        self.assertEqual(result.returncode, 0)
        lines = result.stdout.splitlines()
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)

    def refuse(self, pattern, *arguments):
        result = ringer(*arguments)
        self.assertEqual(result.returncode, 1, result)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Aringer: [^\n]*%s[^\n]*\n\Z" % pattern)

    def test_wrong_use(self):
        self.refuse("socket and a", "snapshot")
        self.refuse("socket and a", "snapshot", "here")
        self.refuse("one too many", "snapshot", "a", "b", "c")
        self.refuse("no option --what", "snapshot", "--what")
        self.refuse("no machine at", "snapshot", self.control, self.snapshot)
        self.refuse("there is none", "snapshot", "--check", self.snapshot)
        self.refuse("there is none", "run", "--restore", self.snapshot)
        self.refuse("there is none", "run", "--restore", harness.RINGER)
        self.refuse("--memory", "run", "--restore", self.snapshot, "-m", "1G")
        self.refuse("cannot listen", "run", "--control", self.directory + "/no/where")

    def test_is_private(self):
        machine = harness.Machine("--control", self.control)    # the built-in guest
        self.addCleanup(machine.__exit__)
        machine.expect(".")
        self.assertEqual(os.stat(self.control).st_mode & 0o777, 0o600)
        machine.finish()
        self.assertFalse(os.path.exists(self.control))

    def test_commands(self):
        """As with nc -U: any command of the monitor's, and what became of it."""
        machine = self.boot()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.control)
            answer = client.makefile("r")
            client.sendall(b"info status\nno such thing\nstop\n")
            self.assertIn("running", answer.readline())
            while (line := answer.readline()) != "ok\n":
                self.assertTrue(line)
            self.assertIn("not known", answer.readline())
            self.assertEqual(answer.readline(), "failed\n")
            self.assertEqual(answer.readline(), "ok\n")
            client.sendall(b"x" * 10000 + b"\n")
            self.assertIn("too long", answer.readline())
        self.take()     # also of a machine that is stopped, and stays so
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.control)
            client.sendall(b"cont\n")
            self.assertEqual(client.makefile("r").readline(), "ok\n")
            self.assertIn("on", machine.command("echo on"))
            client.sendall(b"quit\n")
            self.assertEqual(machine.finish(), (0, ""))

    def test_existing(self):
        self.boot()
        self.take()
        self.refuse("there already", "snapshot", self.control, self.snapshot)
        self.take("--replace")
        os.mkdir(os.path.join(self.directory, "other"))
        self.refuse("is no snapshot", "snapshot", "-f", self.control, self.directory + "/other")
        self.assertEqual(ringer("snapshot", "--check", self.snapshot).returncode, 0)
        with open(os.path.join(self.snapshot, "memory"), "r+b") as file:
            file.seek(0x1000000)
            byte = file.read(1)
            file.seek(0x1000000)
            file.write(bytes([byte[0] ^ 1]))
        self.refuse("memory is damaged", "snapshot", "--check", self.snapshot)

    def test_monitor(self):
        with harness.linux(terminal=True) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            machine.send("\x01c")
            machine.expect(r"\(ringer\) ")
            machine.send("snapshot %s\n" % self.snapshot)
            machine.expect(r"\(ringer\) ")
            self.assertEqual(sorted(os.listdir(self.snapshot)), ["memory", "state"])
            machine.send("snapshot %s\n" % self.snapshot)
            machine.expect("it is there already")

    def test_killed(self):
        """Killed at any moment of it: the snapshot is whole, or there is none."""
        self.boot()
        self.take()
        outcomes = {True: 0, False: 0}
        for i in range(12):
            machine = self.restore("--control", self.control)
            copy = os.path.join(self.directory, "copy")
            self.wait_for_control()
            taker = subprocess.Popen([harness.RINGER, "snapshot", self.control, copy],
                                     stderr=subprocess.DEVNULL)
            time.sleep(0.02 * i + 0.02 * random.random())
            os.killpg(machine.process.pid, signal.SIGKILL)
            machine.process.wait()
            said = taker.wait() == 0
            there = os.path.exists(copy)
            outcomes[there] += 1
            if said:
                self.assertTrue(there)
            if there:
                self.assertEqual(ringer("snapshot", "--check", copy).stderr, "")
                shutil.rmtree(copy)
            os.unlink(self.control)
        # What a killed one left goes with the next.
        with self.restore("--control", self.control):
            self.wait_for_control()
            self.assertEqual(ringer("snapshot", self.control, copy).returncode, 0)
            self.assertEqual([name for name in os.listdir(self.directory) if "partial" in name], [])


class Disk(Directory):
    def test_disk(self):
        """What was written before is on the disk; what was on its way ends on either side."""
        image = os.path.join(self.directory, "disk")
        with open(image, "wb") as file:
            file.truncate(32 << 20)
        machine = self.boot("-d", image)
        machine.command("head -c 4000000 /dev/urandom >/tmp/data; sum=$(sha256sum </tmp/data)")
        machine.command("dd if=/tmp/data of=/dev/vda bs=64k 2>/dev/null")
        machine.command("(while :; do dd if=/tmp/data of=/dev/vda bs=4k seek=2048 conv=fsync "
                        "2>/dev/null; echo x >>/tmp/rounds; done) &")
        machine.command("while [ ! -e /tmp/rounds ]; do sleep 0.1; done")
        self.take()
        os.killpg(machine.process.pid, signal.SIGKILL)
        machine.process.wait()
        copy = image + ".copy"
        shutil.copyfile(image, copy)
        clone = self.restore("-d", copy)
        clone.send("\n")
        clone.expect("^" + harness.PROMPT)
        before = int(clone.command("cat /tmp/rounds | wc -l"))
        clone.command("sleep 2; kill %1; sync; echo 3 >/proc/sys/vm/drop_caches")
        self.assertGreater(int(clone.command("cat /tmp/rounds | wc -l")), before)
        for skip in 0, 2048:
            clone.command("dd if=/dev/vda bs=4k skip=%d count=977 2>/dev/null | head -c 4000000 | "
                          "sha256sum >/tmp/now" % skip)
            self.assertEqual(clone.command("cat /tmp/now"), clone.command("echo \"$sum\""))
        self.assertNotRegex(clone.command("dmesg"), "I/O error|virtio_blk.*fail|Call Trace")
        os.killpg(clone.process.pid, signal.SIGKILL)
        clone.process.wait()
        self.assertIn("has been written since", clone.errors())     # the copy has another time

        os.truncate(copy, 16 << 20)
        result = ringer("run", "--restore", self.snapshot, "-d", copy)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"has 16777216 bytes now; it had 33554432")
        result = ringer("run", "--restore", self.snapshot, "-d", copy, "-d", copy)
        self.assertEqual(result.returncode, 1)
        self.assertIn("all of them", result.stderr)


if __name__ == "__main__":
    harness.main()
