#!/usr/bin/env python3
"""A whole Debian on a disk: tools/mkdebian has made it, DEBIAN in the environment is its path.

Skipped where there is none: `make run-debian` and `make check-debian` make one.  Each test has a copy.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

IMAGE = os.environ.get("DEBIAN", os.path.join(harness.BUILD, "debian", "debian.img"))

# Seconds to the login prompt, and for what programs in there do.
BOOT_TIME = 400
PROGRAM_TIME = 200

SURPRISES = "Call Trace|BUG:|WARNING:|I/O error|EXT4-fs error|soft lockup|rcu.*stall|segfault"


class Debian(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(IMAGE)),
                                             prefix="test.")
        self.addCleanup(folder.cleanup)
        self.image = os.path.join(folder.name, "debian.img")
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", IMAGE, self.image], check=True)

    def boot(self, *arguments, append=""):
        """A machine with a root shell on its serial console, entered with the password."""
        machine = harness.Machine(
            "--protocol", "vmlinux", "-k", IMAGE + ".vmlinuz", "-i", IMAGE + ".initrd", "-d",
            self.image, "-a", "console=ttyS0 root=/dev/vda quiet " + append, *arguments)
        self.addCleanup(machine.__exit__)
        machine.expect("debian login: $", BOOT_TIME)
        machine.send("root\n")
        machine.expect("Password: $")
        machine.send("ringer\n")
        machine.expect("root@debian:~# $")
        # A shell without a line editor's escape sequences.
        machine.send("stty -echo; PS1='%s' exec sh\n" % harness.PROMPT)
        machine.expect(harness.PROMPT + "$")
        return machine

    def command(self, machine, line, timeout=PROGRAM_TIME):
        """What a command prints; the terminal does not echo it."""
        start = machine.seen
        machine.send(line + "\n")
        machine.expect(harness.PROMPT + "$", timeout)
        return machine.text[start:machine.seen - len(harness.PROMPT)]

    def power_off(self, machine):
        self.assertNotRegex(self.command(machine, "dmesg"), SURPRISES)
        machine.send("poweroff\n")
        self.assertEqual(machine.finish(PROGRAM_TIME), (0, ""))
        result = subprocess.run(["e2fsck", "-fn", self.image], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout)


class Login(Debian):
    def check(self, *arguments):
        machine = self.boot(*arguments)
        state = self.command(machine, "systemctl is-system-running --wait", BOOT_TIME)
        if state != "running\n":
            self.fail(self.command(machine, "systemctl --failed --no-pager"))
        answer = self.command(machine, "cat /etc/debian_version; findmnt -no SOURCE,FSTYPE /; nproc")
        self.assertRegex(answer, r"^12\.\d+\n/dev/vda +ext4\n\d+\n$")
        self.command(machine, "echo kept >/root/kept")
        self.power_off(machine)
        return answer

    def test_one_cpu(self):
        """To the login prompt, all units well, and off again; what was written is there next time."""
        self.check()
        machine = self.boot()
        self.assertEqual(self.command(machine, "cat /root/kept"), "kept\n")
        self.power_off(machine)

    def test_two_cpus(self):
        self.assertRegex(self.check("-c", "2"), "\n2\n$")


def main():
    for name in (IMAGE, IMAGE + ".vmlinuz", IMAGE + ".initrd"):
        if not os.path.exists(name):
            print("skipped: there is no %s; make check-debian makes it" % name)
            sys.exit(77)
    if not shutil.which("e2fsck", path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        print("skipped: there is no e2fsck (package e2fsprogs)")
        sys.exit(77)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    unittest.main(verbosity=2)


main()
