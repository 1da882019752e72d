#!/usr/bin/env python3
"""`make lockstep`: the whole boot of Debian, some commands and power-off under two engines in lockstep.

usage: boot.py ENGINES [OPTION OF ringer lockstep ...]

RINGER and GUEST are as for tests/boot/harness.py.  The commands are in root's .profile, which a second
archive after the initramfs adds to it.
"""
import os
import sys
import tempfile
import time

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build")
RINGER = os.environ.get("RINGER", os.path.join(BUILD, "ringer"))
GUEST = os.environ.get("GUEST", os.path.join(BUILD, "guest"))
KERNEL = os.path.join(GUEST, "vmlinuz")

PROFILE = b"""uname -a
cat /proc/uptime
seq 1 3000 | gzip -c | gunzip -c | sha256sum
awk 'BEGIN { for (i = 1; i <= 2000; i++) s += 1 / (i * i); print s }'
poweroff
"""


def cpio_entry(name, mode, data=b""):
    """One file of a "newc" archive."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def run(engines, profile, *arguments):
    """Boots Debian and has root's shell run the profile.  Returns the status of ringer lockstep."""
    with open(os.path.join(GUEST, "initramfs.cpio"), "rb") as file:
        archive = file.read()
    archive += cpio_entry(b"root/.profile", 0o100644, profile) + cpio_entry(b"TRAILER!!!", 0)
    with tempfile.NamedTemporaryFile(suffix=".cpio") as file:
        file.write(archive)
        file.flush()
        return os.spawnv(os.P_WAIT, RINGER, [
            RINGER, "lockstep", "--engines", engines, "--protocol", "vmlinux",
            "-k", KERNEL, "-i", file.name, "-a", "console=ttyS0 quiet", *arguments])


def main():
    start = time.monotonic()
    status = run(sys.argv[1], PROFILE, *sys.argv[2:])
    print("%.0f seconds" % (time.monotonic() - start), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
