#!/usr/bin/env python3
"""Make an initramfs: a cpio archive with busybox, links to its applets, and an /init.

  mkinitramfs.py --busybox FILE --init FILE [--add FILE:PATH]... OUTPUT

The archive is written here, in the "newc" format (Linux, "initramfs buffer format"), and not by
cpio(1): so it may have device nodes without root, and the same input gives the same bytes.
"""
import argparse
import os
import stat
import subprocess


class Archive:
    """Collects entries; all belong to root and are from 1970."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def add(self, path, mode, content=b"", device=(0, 0)):
        self.inode += 1
        name = path.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self.inode, mode, 0, 0, links, 0, len(content), 0, 0,
                  device[0], device[1], len(name), 0)
        self.data += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        self.pad(4)
        self.data += content
        self.pad(4)

    def pad(self, align):
        self.data += bytes(-len(self.data) % align)

    def finish(self):
        self.inode = -1
        self.add("TRAILER!!!", 0)
        self.pad(512)
        return bytes(self.data)


def build(busybox, init, added):
    archive = Archive()
    for path in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
        archive.add(path, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))
    with open(init, "rb") as file:
        archive.add("init", stat.S_IFREG | 0o755, file.read())
    with open(busybox, "rb") as file:
        archive.add("bin/busybox", stat.S_IFREG | 0o755, file.read())
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    for applet in sorted(set(applets.stdout.split()) - {"busybox"}):
        archive.add("bin/" + applet, stat.S_IFLNK | 0o777, b"busybox")
    for item in added:
        source, _, path = item.partition(":")
        with open(source, "rb") as file:
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            archive.add(path, stat.S_IFREG | mode, file.read())
    return archive.finish()


def main():
    parser = argparse.ArgumentParser(description="Make an initramfs of busybox.")
    parser.add_argument("--busybox", required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--add", action="append", default=[], metavar="FILE:PATH")
    parser.add_argument("output")
    options = parser.parse_args()
    data = build(options.busybox, options.init, options.add)
    partial = options.output + ".new"
    with open(partial, "wb") as file:
        file.write(data)
    os.replace(partial, options.output)


main()
