#!/usr/bin/env python3
"""Measure disks: a Debian's boot to its login prompt, and throughput, beside QEMU's TCG.

Seconds are those of the wall, since a disk is waited for: so nothing else should run.  CPU seconds, of
all processes of the machine as the host sees them, are beside them.
"""
import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time

import bench

AREA = 64 << 20
LOGIN_TIME = 900
BLOCK_TIME = 600


class Machine:
    """A command with a guest's serial console on its standard streams."""

    def __init__(self, command):
        self.start = time.monotonic()
        self.text, self.seen = "", 0
        self.terminal, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def send(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern, limit):
        """The match, once the guest has said that; None after limit seconds or at the end."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            match = re.compile(pattern, re.M).search(self.text, self.seen)
            if match:
                self.seen = match.end()
                return match
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    data = os.read(self.terminal, 65536)
                except OSError:
                    return None
                self.text += data.decode("latin1").replace("\r", "")
        return None


def machines(options):
    """name, and a function of kernel, initrd, command line and disks that gives its command."""
    def ringer(*more):
        return lambda kernel, initrd, append, disks: [
            options.ringer, "run", *more, "--protocol", "vmlinux", "-k", kernel, "-i", initrd, "-a",
            append, *sum((["-d", disk] for disk in disks), [])]

    def qemu(kernel, initrd, append, disks):
        drives = sum((["-drive", "file=%s,if=virtio,format=raw" % disk] for disk in disks), [])
        return ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-cpu", "max", "-m", "512",
                "-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", kernel, "-initrd",
                initrd, "-append", append + " tsc_early_khz=2000000 tsc=reliable", *drives]

    found = [(engine, ringer("-e", engine, *bench.UNPROTECTED)) for engine in bench.ENGINES]
    if shutil.which("qemu-system-x86_64"):
        found.append(("qemu tcg", qemu))
    return found


def boot(options, folder):
    image = os.path.join(folder, "debian.img")
    for name, command in machines(options):
        bench.progress("Debian on " + name)
        subprocess.run(["cp", "--sparse=always", options.image, image], check=True)
        with Machine(command(options.image + ".vmlinuz", options.image + ".initrd",
                             "console=ttyS0 root=/dev/vda quiet", [image])) as machine:
            ready = machine.expect("login: $", LOGIN_TIME)
            seconds = time.monotonic() - machine.start
            bench.show("Debian's login prompt, " + name, "%.1f s (%.1f s of CPU)" % (
                seconds, bench.tree_seconds(machine.process.pid)) if ready else "failed")


def throughput(machine):
    """measurement -> (seconds, CPU seconds, operations, bytes of one)."""
    found = {}
    if not machine.expect("^ringer# ", LOGIN_TIME):
        return found
    machine.send("cat /dev/vdb >block; chmod +x block; ./block /dev/vda\n")
    while True:
        begin = machine.expect(r"^(BEGIN|BLOCK-DONE)", BLOCK_TIME)
        if not begin or begin.group(1) == "BLOCK-DONE":
            break
        before = bench.tree_seconds(machine.process.pid)
        result = machine.expect(r"^RESULT (\S+) (\S+) (\d+) (\d+)\n", BLOCK_TIME)
        if not result:
            break
        found[result.group(1)] = (float(result.group(2)),
                                  bench.tree_seconds(machine.process.pid) - before,
                                  int(result.group(3)), int(result.group(4)))
    return found


def block(options, folder):
    image, program = os.path.join(folder, "area.img"), os.path.join(folder, "block.img")
    with open(image, "wb") as file:
        file.write(bytes(AREA))
    with open(options.block, "rb") as source, open(program, "wb") as file:
        data = source.read()
        file.write(data + bytes(-len(data) % 512))
    columns = []
    for name, command in machines(options):
        bench.progress("throughput on " + name)
        with Machine(command(options.kernel, options.initramfs, "console=ttyS0 quiet",
                             [image, program])) as machine:
            columns.append((name, throughput(machine)))
    bench.tell("")
    bench.tell("%-16s" % "disk" + "".join("%30s" % name for name, _ in columns))
    for measurement in columns[0][1]:
        bench.tell("%-16s" % measurement + "".join(
            "%30s" % cell(results.get(measurement)) for _, results in columns))


def cell(result):
    if not result:
        return "-"
    seconds, cpu, operations, size = result
    rate = ("%.0f MB/s" % (operations * size / seconds / 1e6) if size > 65536 else
            "%.0f/s" % (operations / seconds))
    return "%s (CPU %.0f us each)" % (rate, cpu / operations * 1e6)


def main():
    parser = argparse.ArgumentParser(description="Measure disks.")
    for name in ("ringer", "kernel", "initramfs", "image", "block"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    # Beside the image: what is measured is a disk, and /tmp may be none.
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(options.image))) as folder:
        boot(options, folder)
        block(options, folder)


if __name__ == "__main__":
    main()
