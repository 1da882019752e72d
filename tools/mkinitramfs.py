#!/usr/bin/env python3
"""Make an initramfs: a cpio archive with busybox, links to its applets, and an /init.

  mkinitramfs.py --busybox FILE --init FILE [--add FILE:PATH]... [--modules DIR NAME...] OUTPUT

--modules takes the kernel modules of these names out of DIR (a lib/modules/VERSION), with all that
they depend on, and writes what modprobe needs to know of them.

The archive is written here, in the "newc" format (Linux, "initramfs buffer format"), and not by
cpio(1): so it may have device nodes without root, and the same input gives the same bytes.
"""
import argparse
import lzma
import os
import stat
import subprocess


class Modules:
    """A tree of kernel modules; which depends on which is in their .modinfo sections.  Those that are
    packed with xz are unpacked: busybox does not."""

    def __init__(self, directory):
        self.directory = directory
        self.paths = {}
        for folder, _, names in os.walk(directory):
            for name in names:
                stem, dot, suffix = name.partition(".ko")
                if dot and suffix in ("", ".xz"):
                    self.paths[stem.replace("-", "_")] = os.path.join(folder, name)
        self.chosen = {}    # name -> (contents, names that it depends on, aliases)

    def choose(self, name):
        name = name.replace("-", "_")
        if name in self.chosen or name not in self.paths:   # else it is built in
            return
        opener = lzma.open if self.paths[name].endswith(".xz") else open
        with opener(self.paths[name], "rb") as file:
            data = file.read()
        fields = [field.partition(b"=") for field in data.split(b"\0") if b"=" in field[:32]]
        depends = [d.replace("-", "_") for key, _, value in fields if key == b"depends"
                   for d in value.decode().split(",") if d]
        aliases = [value.decode() for key, _, value in fields if key == b"alias"]
        self.chosen[name] = data, depends, aliases
        for depend in depends:
            self.choose(depend)

    def path(self, name):
        return os.path.relpath(self.paths[name], self.directory).removesuffix(".xz")

    def all_depends(self, name):
        """What name needs, each before what it needs itself: as modules.dep has them."""
        loaded = []

        def load(each):
            for depend in self.chosen[each][1]:
                if depend in self.chosen and depend not in loaded:
                    load(depend)
            loaded.append(each)

        load(name)
        return loaded[-2::-1]

    def add_to(self, archive):
        root = "lib/modules/" + os.path.basename(self.directory)
        for name in self.chosen:
            archive.add_folder(os.path.dirname(os.path.join(root, self.path(name))))
        dependencies = aliases = ""
        for name in sorted(self.chosen):
            archive.add(os.path.join(root, self.path(name)), stat.S_IFREG | 0o644,
                        self.chosen[name][0])
            dependencies += "%s:%s\n" % (self.path(name), "".join(
                " " + self.path(depend) for depend in self.all_depends(name)))
            aliases += "".join("alias %s %s\n" % (a, name) for a in self.chosen[name][2])
        archive.add(root + "/modules.dep", stat.S_IFREG | 0o644, dependencies.encode())
        archive.add(root + "/modules.alias", stat.S_IFREG | 0o644, aliases.encode())


class Archive:
    """Collects entries; all belong to root and are from 1970."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0
        self.folders = {""}

    def add_folder(self, path):
        """Adds a folder, and those that it is in, unless they are there."""
        if path not in self.folders:
            self.folders.add(path)
            self.add_folder(os.path.dirname(path))
            self.add(path, stat.S_IFDIR | 0o755)

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


def build(busybox, init, added, modules):
    archive = Archive()
    for path in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
        archive.add_folder(path)
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
        archive.add_folder(os.path.dirname(path))
        with open(source, "rb") as file:
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            archive.add(path, stat.S_IFREG | mode, file.read())
    if modules:
        tree = Modules(os.path.normpath(modules[0]))
        for name in modules[1:]:
            tree.choose(name)
        tree.add_to(archive)
    return archive.finish()


def main():
    parser = argparse.ArgumentParser(description="Make an initramfs of busybox.")
    parser.add_argument("--busybox", required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--add", action="append", default=[], metavar="FILE:PATH")
    parser.add_argument("--modules", nargs="+", default=[], metavar=("DIR", "NAME"))
    parser.add_argument("output")
    options = parser.parse_args()
    data = build(options.busybox, options.init, options.add, options.modules)
    partial = options.output + ".new"
    with open(partial, "wb") as file:
        file.write(data)
    os.replace(partial, options.output)


main()
