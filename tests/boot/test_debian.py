#!/usr/bin/env python3
"""A whole Debian on a disk: tools/mkdebian has made it, DEBIAN in the environment is its path.

Skipped where there is none: `make run-debian` and `make check-debian` make one.  Each test has a copy.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import harness

IMAGE = os.environ.get("DEBIAN", os.path.join(harness.BUILD, "debian", "debian.img"))

# Seconds to the login prompt, and for what programs in there do.
BOOT_TIME = 400
PROGRAM_TIME = 200
INSTALL_TIME = 900

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
        machine.send("stty -echo; PS1='%s''%s' exec sh\n" % (
            harness.PROMPT[:4], harness.PROMPT[4:]))
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


class Making(unittest.TestCase):
    """What mkdebian cannot do, or is kept from: it says so, and leaves nothing behind."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.scratch = os.path.join(self.folder.name, "scratch")
        os.mkdir(self.scratch)

    def start(self, *arguments):
        tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/mkdebian")
        return subprocess.Popen([tool, *arguments], cwd=self.folder.name, text=True,
                                env=dict(os.environ, TMPDIR=self.scratch), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def check_empty(self):
        self.assertEqual(os.listdir(self.folder.name), ["scratch"])
        self.assertEqual(os.listdir(self.scratch), [])

    def test_mistakes(self):
        for arguments, status, words in (
                ((), 2, "which IMAGE?"),
                (("a.img", "b.img"), 2, "more than one"),
                (("--size",), 2, "--size needs a value"),
                (("--size", "4", "a.img"), 2, "no number with M or G"),
                (("--wrong", "a.img"), 2, "no option --wrong"),
                (("scratch",), 1, "is there already"),
                (("nowhere/a.img",), 1, "no place for nowhere/a.img"),
                (("--mirror", "http://127.0.0.1:1/debian", "a.img"), 1, "is the network there?")):
            with self.subTest(arguments):
                process = self.start(*arguments)
                errors = process.communicate(timeout=PROGRAM_TIME)[1]
                self.assertEqual(process.returncode, status, errors)
                self.assertIn(words, errors.splitlines()[-1])
                self.check_empty()

    def test_interrupted(self):
        process = self.start("a.img")
        for line in process.stderr:
            if "extracting" in line:    # mmdebstrap is in the midst of it
                break
        else:
            process.communicate()
            self.skipTest("mmdebstrap does not get that far here; is the network there?")
        process.terminate()
        self.assertIn("interrupted", process.communicate(timeout=PROGRAM_TIME)[1])
        self.assertEqual(process.returncode, 130)
        self.check_empty()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Network(Debian):
    def test_network(self):
        """An address by DHCP, ssh from the host by a forwarded port, and packages from Debian's archive,
        of which one then checks the machine: stress-ng."""
        port = free_port()
        machine = self.boot("-c", "2", "-n", "user,hostfwd=tcp:127.0.0.1:%u-:22" % port)
        self.command(machine, "systemctl is-system-running --wait", BOOT_TIME)
        self.assertIn("10.0.2.15/24", self.command(machine, "ip -4 -brief address show scope global"))
        self.check_ssh(port)
        answer = self.command(machine, "apt-get -q update; echo status $?", INSTALL_TIME)
        if not answer.endswith("status 0\n") or "Failed to fetch" in answer:
            self.skipTest("Debian's archive cannot be reached: " + answer[-200:])
        answer = self.command(machine, "apt-get -qy --no-install-recommends install stress-ng; "
                              "echo status $?", INSTALL_TIME)
        self.assertRegex(answer, "status 0\n$")
        self.check_stress(machine)
        self.power_off(machine)

    def check_ssh(self, port):
        key = self.image + ".key"
        shutil.copy(IMAGE + ".key", key)
        os.chmod(key, 0o600)
        result = subprocess.run(
            ["ssh", "-i", key, "-p", str(port), "-o", "BatchMode=yes", "-o",
             "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
             "LogLevel=ERROR", "root@127.0.0.1", "cat /etc/hostname; exit 7"],
            capture_output=True, text=True, timeout=PROGRAM_TIME)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, "debian\n", ""))

    def check_stress(self, machine):
        for options in ("--cpu 2", "--vm 2 --vm-bytes 32m", "--pipe 2", "--fork 2", "--futex 2",
                        "--hdd 2 --hdd-bytes 16m"):
            with self.subTest(options):
                answer = self.command(machine, "stress-ng --verify -t 5 %s; echo status $?" % options)
                self.assertRegex(answer, "successful run completed.*\nstatus 0\n$")


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
