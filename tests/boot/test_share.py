#!/usr/bin/env python3
"""Shared directories: files both ways, the ways out of one, and the death of its server."""
import hashlib
import os
import random
import signal
import stat
import subprocess
import tempfile
import time
import unittest

import harness

MIB = 1 << 20
ENGINES = [("-e", "interp"), ("-e", "hybrid", "--unprotected")]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def children(pid):
    """The processes that serve the shares of the machine pid, in the order of their start."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % entry) as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name == "ringer-share" and int(rest.split()[1]) == pid:
            found.append((int(rest.split()[19]), int(entry)))
    return [entry for _, entry in sorted(found)]


class Share(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        self.secret = self.write("secret", b"not to be seen")
        self.shared = self.make_folder("shared")

    def make_folder(self, name):
        path = os.path.join(self.top, name)
        os.mkdir(path)
        return path

    def write(self, name, content):
        path = os.path.join(self.top, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def read(self, name):
        with open(os.path.join(self.top, name), "rb") as file:
            return file.read()

    def boot(self, *arguments, append="", mount=True, prefix=()):
        machine = harness.linux(*arguments, append=append, prefix=prefix)
        self.addCleanup(machine.__exit__)
        machine.expect("machine made by Ringer", harness.BOOT_TIME)
        machine.expect("^" + harness.PROMPT)
        machine.command("dmesg -n 1; mkdir -p /mnt")
        if mount:
            self.assertEqual(machine.command("mount -t virtiofs share /mnt"), "")
        return machine

    def power_off(self, machine):
        self.assertNotRegex(machine.command("dmesg"), "Call Trace|WARNING:|BUG:")
        machine.send("poweroff\n")
        status, errors = machine.finish()
        self.assertEqual(status, 0)
        return errors

    def check_both_ways(self, machine):
        """Files of some MiB there and back, renamed, removed, listed."""
        content = random.Random(2).randbytes(4 * MIB + 123)
        self.write("shared/from-host", content)
        self.assertIn(digest(content), machine.command("sha256sum /mnt/from-host"))
        machine.command("mkdir /mnt/folder; dd if=/mnt/from-host of=/mnt/folder/copy bs=100k; "
                        "mv /mnt/folder/copy /mnt/folder/moved; ln /mnt/folder/moved /mnt/second; "
                        "ln -s folder/moved /mnt/link; echo appended >>/mnt/second; "
                        "chmod 640 /mnt/second; touch -d @1000000000 /mnt/second")
        self.assertEqual(self.read("shared/folder/moved"), content + b"appended\n")
        status = os.stat(os.path.join(self.shared, "second"))
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_nlink, status.st_mtime),
                         (0o640, 2, 1000000000))
        self.assertEqual(os.readlink(os.path.join(self.shared, "link")), "folder/moved")
        self.assertIn(digest(content + b"appended\n"), machine.command("sha256sum /mnt/link"))
        answer = machine.command("for i in $(seq 100); do echo $i >/mnt/folder/f$i; done; "
                                 "ls /mnt/folder | wc -l; cat /mnt/folder/f* | sort -n | tail -1")
        self.assertEqual(answer.split(), ["101", "100"])
        self.assertEqual(len(os.listdir(os.path.join(self.shared, "folder"))), 101)
        # What the host changes is seen within a second.
        self.write("shared/from-host", b"changed")
        os.rename(os.path.join(self.shared, "second"), os.path.join(self.shared, "third"))
        time.sleep(1.5)
        answer = machine.command("cat /mnt/from-host; echo; ls /mnt")
        self.assertEqual(answer.split(), ["changed", "folder", "from-host", "link", "third"])
        # A program is mapped, and a mapping written.
        answer = machine.command("cp /bin/busybox /mnt/busybox && /mnt/busybox uname -s; "
                                 "rm -r /mnt/folder; sync; ls /mnt")
        self.assertEqual(answer.split(), ["Linux", "busybox", "from-host", "link", "third"])

    def test_both_ways(self):
        for engine in ENGINES:
            with self.subTest(engine=engine):
                machine = self.boot("--share", self.shared, "-c", "2", *engine)
                self.check_both_ways(machine)
                self.assertEqual(len(children(machine.process.pid)), 1)
                self.assertEqual(self.power_off(machine), "")
                self.assertEqual(children(machine.process.pid), [])
            subprocess.run(["rm", "-r", self.shared], check=True)
            os.mkdir(self.shared)

    def test_several_at_a_time(self):
        """Two shares, of which one may only be read; writers and readers side by side."""
        content = random.Random(3).randbytes(3 * MIB)
        second = self.make_folder("se:cond,x")
        self.write("shared/big", content)
        machine = self.boot("--share", self.shared + ":first,ro", "--share", second + ":second",
                            mount=False)
        machine.command("mkdir /first /second; mount -t virtiofs first /first; "
                        "mount -t virtiofs second /second")
        answer = machine.command("for i in 1 2 3 4; do cp /first/big /second/$i & done; wait; "
                                 "sha256sum /second/[1-4] | cut -d ' ' -f 1 | uniq")
        self.assertIn(digest(content), answer)
        self.assertEqual([self.read("se:cond,x/%d" % i) for i in (1, 2, 3, 4)], [content] * 4)
        for line in ("echo x >/first/new", "echo x >>/first/big", "rm /first/big", "mkdir /first/d",
                     "mv /first/big /first/other", "chmod 777 /first/big", "touch /first/big",
                     "ln -s x /first/l", "truncate -s 1 /first/big"):
            self.assertIn("Read-only file system", machine.command(line), line)
        self.assertEqual(self.power_off(machine), "")
        self.assertEqual(os.listdir(self.shared), ["big"])
        self.assertEqual(self.read("shared/big"), content)

    def test_ways_out(self):
        """Links and paths in the guest end in the guest.  (Messages made by hand: unit tests.)"""
        machine = self.boot("--share", self.shared)
        os.symlink(self.secret, os.path.join(self.shared, "host-link"))
        machine.command("ln -s %s /mnt/absolute; ln -s ../secret /mnt/relative; "
                        "ln -s ../../../../../../etc /mnt/etc; ln -s /proc/self/root /mnt/proc"
                        % self.secret)
        answer = machine.command("cat /mnt/absolute /mnt/relative /mnt/host-link /mnt/../secret "
                                 "/mnt/etc/hostname /mnt/proc%s; echo end" % self.secret)
        self.assertNotIn("not to be seen", answer)
        self.assertEqual(answer.count("No such file"), 6, answer)
        machine.command("echo overwritten >/mnt/relative; chmod 777 /mnt/absolute; "
                        "mv /mnt/relative /mnt/../relative; mknod /mnt/null c 1 3")
        self.assertEqual(self.power_off(machine), "")
        self.assertEqual(self.read("secret"), b"not to be seen")
        self.assertEqual(sorted(os.listdir(self.top)), ["secret", "shared"])
        self.assertFalse(os.path.exists(os.path.join(self.shared, "null")))

    def test_the_server_dies(self):
        """I/O errors for the guest and a line for the user; the other share goes on."""
        other = self.make_folder("other")
        machine = self.boot("--share", self.shared, "--share", other + ":other")
        machine.command("mkdir /other; mount -t virtiofs other /other; echo x >/mnt/file")
        pids = children(machine.process.pid)
        self.assertEqual(len(pids), 2)
        os.kill(pids[0], signal.SIGKILL)
        self.assertIn("I/O error", machine.command("sleep 1.5; cat /mnt/file").replace(
            "Input/output", "I/O"))
        self.assertEqual(machine.command("echo well >/other/file; cat /other/file"), "well\n")
        self.assertEqual(self.power_off(machine), "ringer: share '%s': its server was killed by "
                         "signal 9; the guest gets I/O errors\n" % self.shared)

    def test_the_board_dies(self):
        machine = self.boot("--share", self.shared)
        pid, = children(machine.process.pid)
        machine.process.kill()
        machine.process.wait()
        for _ in range(100):
            if not os.path.exists("/proc/%d" % pid):
                return
            time.sleep(0.1)
        self.fail("ringer-share lives on")

    def test_as_an_ordinary_user(self):
        if os.geteuid():
            self.skipTest("it is what the others do")
        os.chmod(self.top, 0o755)
        os.chown(self.shared, 65534, 65534)
        machine = self.boot("--share", self.shared, prefix=(
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"))
        machine.command("echo made >/mnt/file; chown 0:0 /mnt/file")
        status = os.stat(os.path.join(self.shared, "file"))
        self.assertEqual((status.st_uid, status.st_gid), (65534, 65534))
        self.assertEqual(self.power_off(machine), "")

    def test_virtual_time(self):
        """On virtual time it works, too; but a recording would not have what the files say."""
        self.write("shared/file", b"contents\n")
        script = ("mount -t proc p /proc; mount -t sysfs s /sys; modprobe virtio_pci; "
                  "modprobe virtiofs; mount -t virtiofs share /mnt; cat /mnt/file; poweroff -f")
        status, output, errors = harness.run(
            "--protocol", "vmlinux", "-k", harness.KERNEL, "-i", harness.INITRAMFS, "-a",
            'console=ttyS0 quiet PATH=/bin rdinit=/bin/sh -- -c "mkdir -p /mnt; %s"' % script,
            "--icount", "--share", self.shared, timeout=harness.BOOT_TIME)
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("contents", output)

    def test_bad_options(self):
        file = self.write("file", b"")
        for arguments, names in [
                ((self.top + "/none",), "No such file or directory"),
                ((file,), "Not a directory"),
                (("",), "write DIR"), ((":tag",), "write DIR"), ((self.shared + ":",), "write DIR"),
                ((self.shared + ":" + 37 * "t",), "longer than 36"),
                ((self.shared + ":a b",), "a tag has"),
                ((self.shared, "--share", self.top), "has the tag 'share' already"),
                ((self.shared, "--record", self.top + "/r"), "not recorded")]:
            with self.subTest(arguments=arguments):
                status, output, errors = harness.run("--share", *arguments)
                self.assertEqual((status, output), (1, ""), errors)
                self.assertRegex(errors, r"\Aringer: [^\n]+\n\Z")
                self.assertIn(names, errors)


harness.main()
