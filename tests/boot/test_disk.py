#!/usr/bin/env python3
"""Disks: a file system on one, what the host cannot do, other formats and servers, sudden death."""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness

MIB = 1 << 20


def boot(*arguments, append=""):
    machine = harness.linux(*arguments, append=append)
    machine.expect("machine made by Ringer", harness.BOOT_TIME)
    machine.expect("^" + harness.PROMPT)
    machine.command("dmesg -n 1")
    return machine


class Disk(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def image(self, name, content=b"", size=None):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(content)
            if size:
                file.truncate(size)
        return path

    def content(self, path):
        with open(path, "rb") as file:
            return file.read()

    def power_off(self, machine):
        machine.send("poweroff\n")
        status, errors = machine.finish()
        self.assertEqual(status, 0)
        return errors

    def check_copy(self, machine, device):
        """Write and read back more than a queue's worth; returns what was written."""
        machine.command("dd if=/bin/busybox of=%s bs=64k conv=fsync" % device)
        machine.command("echo 3 >/proc/sys/vm/drop_caches")
        size = int(machine.command("stat -c %s /bin/busybox"))
        answer = machine.command("head -c %u %s | cmp - /bin/busybox && echo same" % (size, device))
        self.assertEqual(answer.strip(), "same")
        answer = machine.command("sha256sum /bin/busybox")
        return size, answer.split()[0]

    def test_raw(self):
        """Three disks: one that is written, one that may only be read, one with a queue a CPU."""
        random_bytes = random.Random(1).randbytes(MIB)
        first = self.image("first.img", size=32 * MIB)
        second = self.image("with,comma.img", random_bytes)
        third = self.image("third.img", size=8 * MIB)
        with boot("-c", "2", "-d", first, "-d", second + ",ro", "-d",
                  third + ",queues=1,serial=number-three") as machine:
            answer = machine.command("cat /sys/block/vd?/size /sys/block/vd?/ro")
            self.assertEqual(answer.split(), ["65536", "2048", "16384", "0", "1", "0"])
            answer = machine.command("cat /sys/block/vdc/serial; ls /sys/block/vdc/mq; "
                                     "ls /sys/block/vda/mq")
            self.assertIn("number-three", answer)
            self.assertEqual(answer.split()[-2:], ["0", "1"])
            answer = machine.command("sha256sum /dev/vdb")
            self.assertIn(hashlib.sha256(random_bytes).hexdigest(), answer)
            size, digest = self.check_copy(machine, "/dev/vda")
            self.assertEqual(hashlib.sha256(self.content(first)[:size]).hexdigest(), digest)
            self.check_copy(machine, "/dev/vdc")

            self.assertGreater(os.stat(first).st_blocks, 0)
            machine.command("blkdiscard /dev/vda")
            self.assertEqual(os.stat(first).st_blocks, 0)
            self.assertNotRegex(machine.command("dmesg"), "I/O error|Call Trace|WARNING:")
            self.assertEqual(self.power_off(machine), "")
        self.assertEqual(self.content(second), random_bytes)

    def test_icount(self):
        """On virtual time I/O ends at the same instruction each time: the log has the times."""
        image = self.image("disk.img", size=2 * MIB)
        script = ("mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; "
                  "modprobe virtio_pci; modprobe virtio_blk; "
                  "dd if=/bin/busybox of=/dev/vda bs=64k conv=fsync; sha256sum /dev/vda; dmesg; "
                  "poweroff -f")
        arguments = ("--protocol", "vmlinux", "-k", harness.KERNEL, "-i", harness.INITRAMFS, "-a",
                     'console=ttyS0 PATH=/bin rdinit=/bin/sh -- -c "%s"' % script, "--icount",
                     "-d", image)
        first, second = (harness.run(*arguments, timeout=harness.BOOT_TIME) for _ in range(2))
        self.assertEqual(first[0], 0)
        self.assertRegex(first[1], "[0-9a-f]{64}  /dev/vda")
        self.assertEqual(first, second)

    def test_host_errors(self):
        """An image that shrinks, one that is removed, and one whose host is full."""
        shrinks = self.image("shrinks.img", size=8 * MIB)
        removed = self.image("removed.img", size=8 * MIB)
        with boot("-d", shrinks, "-d", removed) as machine:
            os.truncate(shrinks, 4 * MIB)
            answer = machine.command("dd if=/dev/vda of=/dev/null bs=1M; "
                                     "dd if=/bin/busybox of=/dev/vda bs=64k conv=fsync; echo end")
            self.assertEqual(answer.count("dd: "), 2, answer)
            os.remove(removed)
            answer = machine.command("dd if=/bin/busybox of=/dev/vdb bs=64k conv=fsync; echo end")
            self.assertEqual(answer.count("dd: "), 1, answer)
            lines = self.power_off(machine).splitlines()
        self.assertEqual(sorted(lines), [
            "ringer: disk '%s': a write failed: the image has been removed; "
            "the guest gets I/O errors" % removed,
            "ringer: disk '%s': a read failed: Input/output error; "
            "the guest gets I/O errors" % shrinks,
            "ringer: disk '%s': a write failed: the image has become shorter; "
            "the guest gets I/O errors" % shrinks])

    def test_block_device(self):
        """A loop device, which only root can make."""
        image = self.image("looped.img", size=16 * MIB)
        result = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
        if result.returncode:
            self.skipTest("no loop device: " + result.stderr.strip())
        device = result.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device])
        with boot("-d", device) as machine:
            self.assertEqual(machine.command("cat /sys/block/vda/size").strip(), "32768")
            size, digest = self.check_copy(machine, "/dev/vda")
            machine.command("dd if=/bin/busybox of=/dev/vda bs=1M seek=8 conv=fsync")
            count = "dd if=/dev/vda bs=4M skip=2 count=1 2>/dev/null | tr -d '\\0' | wc -c"
            self.assertNotEqual(machine.command(count).strip(), "0")
            machine.command("blkdiscard -o 8388608 -l 4194304 /dev/vda")
            self.assertEqual(machine.command(count).strip(), "0")
            self.assertEqual(self.power_off(machine), "")
        subprocess.run(["blockdev", "--flushbufs", device], check=True)
        self.assertEqual(hashlib.sha256(self.content(image)[:size]).hexdigest(), digest)

    def test_failed_flush(self):
        """The host takes writes, but cannot bring them to the medium: what a flush was asked for fails,
        and so does every later one, also when the host says that all is well again."""
        library = os.environ.get("FAILING_FLUSH_LIBRARY")
        if not library:
            self.skipTest("FAILING_FLUSH_LIBRARY is not set")
        image = self.image("disk.img", size=8 * MIB)
        trigger = os.path.join(self.folder.name, "fails")
        os.environ.update(LD_PRELOAD=library, FAILING_FLUSH=trigger)
        write = "dd if=/bin/busybox of=/dev/vda bs=64k count=4 conv=fsync; echo end"
        try:
            machine = boot("-d", image)
        finally:
            del os.environ["LD_PRELOAD"]
        with machine:
            self.assertNotIn("dd: ", machine.command(write))
            self.image("fails")
            self.assertIn("Input/output error", machine.command(write))
            os.remove(trigger)
            self.assertIn("Input/output error", machine.command(write))
            self.assertEqual(self.power_off(machine), (
                "ringer: disk '%s': a flush failed: Input/output error; the guest gets I/O errors\n" %
                image))

    def test_full_host(self):
        """On a small file system of the host's; made as root, or in a user namespace."""
        script = ("mount -t tmpfs -o size=2m none %s && truncate -s 8M %s/disk.img && exec \"$@\"" %
                  (self.folder.name, self.folder.name))
        command = ["unshare", "-rm", "sh", "-c", script, "sh"]
        if subprocess.run(command + ["true"], capture_output=True).returncode:
            self.skipTest("no user namespaces here")
        ringer = harness.RINGER
        self.addCleanup(setattr, harness, "RINGER", ringer)
        wrapper = tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False)
        self.addCleanup(os.remove, wrapper.name)
        with wrapper:
            wrapper.write("#!/bin/sh\nexec unshare -rm sh -c '%s' sh '%s' \"$@\"\n" % (script, ringer))
        os.chmod(wrapper.name, 0o755)
        harness.RINGER = wrapper.name
        with boot("-d", self.folder.name + "/disk.img") as machine:
            answer = machine.command("dd if=/dev/zero of=/dev/vda bs=64k count=16 conv=fsync && "
                                     "dd if=/dev/zero of=/dev/vda bs=64k count=48 conv=fsync; "
                                     "echo end")
            self.assertEqual(answer.count("dd: "), 1, answer)
            self.assertEqual(self.power_off(machine), (
                "ringer: disk '%s/disk.img': a write failed: No space left on device; "
                "the guest gets I/O errors\n" % self.folder.name))

    def test_nbd(self):
        """qcow2 by qemu-nbd, and a server on a socket that goes away."""
        if not shutil.which("qemu-nbd") or not shutil.which("qemu-img"):
            self.skipTest("qemu-nbd is not here (package qemu-utils)")
        qcow2 = os.path.join(self.folder.name, "disk.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "16M"], check=True)
        raw = self.image("served.img", size=16 * MIB)
        socket = os.path.join(self.folder.name, "socket")
        server = subprocess.Popen(["qemu-nbd", "-t", "-f", "raw", "-k", socket, raw])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        while not os.path.exists(socket):
            time.sleep(0.05)
        with boot("-d", qcow2 + ",format=qcow2", "-d", "nbd+unix:///?socket=" + socket) as machine:
            size, digest = self.check_copy(machine, "/dev/vda")
            self.check_copy(machine, "/dev/vdb")
            machine.command("blkdiscard -o 8388608 /dev/vda")
            server.send_signal(signal.SIGKILL)
            answer = machine.command("dd if=/dev/vdb of=/dev/null bs=1M skip=8; echo end")
            self.assertEqual(answer.count("dd: "), 1, answer)
            errors = self.power_off(machine)
        self.assertRegex(errors, r"^ringer: disk 'nbd.*': a read failed: the server has gone; "
                                 "the guest gets I/O errors\n$")
        copy = os.path.join(self.folder.name, "copy.img")
        subprocess.run(["qemu-img", "check", "-q", qcow2], check=True)
        subprocess.run(["qemu-img", "convert", "-O", "raw", qcow2, copy], check=True)
        self.assertEqual(hashlib.sha256(self.content(copy)[:size]).hexdigest(), digest)

    def test_mistakes(self):
        short = self.image("short.img", b"x" * 511)
        busy = self.image("busy.img", size=MIB)
        for arguments, words in (
                (("-d", "/nowhere/disk.img"), "No such file"),
                (("-d", self.folder.name), "Is a directory"),
                (("-d", "/dev/null"), "neither a file nor a block device"),
                (("-d", short), "shorter than a sector"),
                (("-d", busy, "-d", busy), "another program uses it"),
                (("-d", busy, "--record", busy + ".record", "--icount"), "add ,ro"),
                (("-d", busy + ",queues=0"), "a number from 1 to 32"),
                (("-d", ",ro"), "no file name"),
                (("-d", "nbd+unix:///?socket=/nowhere"), "No such file"),
                (("-d", "nbd://127.0.0.1:1"), "Connection refused"),
                (sum((("-d", self.image("%u.img" % i, size=MIB)) for i in range(32)), ()), "slots"),
                (sum((("-d", busy) for i in range(33)), ()), "more than 32 devices")):
            status, _, errors = harness.run(*arguments)
            self.assertEqual(status, 1, errors)
            self.assertEqual(errors.count("\n"), 1, errors)
            self.assertIn(words, errors)


harness.main()
