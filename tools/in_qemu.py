#!/usr/bin/env python3
"""Run a shell command on a CPU that this host may not have: in QEMU, which emulates one.

  in_qemu.py [--kernel FILE] [--cpu MODEL] [--seconds N] [--file FILE]... COMMAND

QEMU's own emulation (TCG) knows protection keys and FSGSBASE, so what `hybrid` does on such hosts can
be tried on all others.  The machine boots FILE, a Linux kernel (default: the one of `make run`), with
an initramfs of busybox and the FILEs, at the paths that they have here, with the libraries that they
need; runs `sh -c COMMAND`; and powers off.  What COMMAND prints goes to standard output, and its exit
status is ours: 124 if time is over before, 125 if the machine fails (its console then goes to standard
error), and 77 with the reason where there is no QEMU, so that Meson takes it for skipped.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
QEMU = "qemu-system-x86_64"
SKIPPED = 77
# QEMU 7.2: its IRET at CPL 3 reads the stack as the supervisor, which SMAP forbids; and newer kernels
# fail on it with page tables of five levels.
CPU = "max,-smap,-la57,-cx16"

# Console messages go to the first serial port, the command's output to the second.
INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/shm /run /var/tmp
stty raw -echo </dev/ttyS1
sh /command </dev/null >/dev/ttyS1 2>&1
printf '\\nSTATUS %d\\n' $? >/dev/ttyS1
stty -F /dev/ttyS1 >/dev/null # waits until all is out
poweroff -f
"""


def libraries(path):
    """The files that a program is loaded with."""
    listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(?:=> |^\s*)(/\S+) \(0x", listing, re.M)


def find_busybox(folder):
    """busybox, linked statically: what is installed, else out of the Debian package."""
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path) and not libraries(path):
            return path
    package = subprocess.run([os.path.join(HERE, "fetch.sh"), "busybox-static"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return os.path.join(folder, "bin/busybox")


def make_initramfs(folder, command, files):
    """Returns the path of an initramfs with the command and the files."""
    output = os.path.join(folder, "initramfs.cpio")
    texts = {"init": INIT, "command": command + "\n"}
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    paths = {os.path.abspath(path) for path in files}
    paths |= {library for path in paths for library in libraries(path)}
    arguments = ["--add", os.path.join(folder, "command") + ":command"]
    for path in sorted(paths):
        arguments += ["--add", path + ":" + path.lstrip("/")]
    subprocess.run([sys.executable, os.path.join(HERE, "mkinitramfs.py"), "--busybox",
                    find_busybox(folder), "--init", os.path.join(folder, "init"), *arguments, output],
                   check=True)
    return output


def run_machine(options, folder):
    """Runs the machine; returns what the command printed, or None if time is over."""
    console = os.path.join(folder, "console")
    output = os.path.join(folder, "output")
    command = [QEMU, "-accel", "tcg,thread=multi", "-cpu", options.cpu, "-smp", "2", "-m", "1G",
               "-nodefaults", "-display", "none", "-no-reboot",
               "-serial", "file:" + console, "-serial", "file:" + output,
               "-kernel", options.kernel, "-initrd",
               make_initramfs(folder, options.command, options.file),
               # A busy host may not give the guest its first timer interrupts in time.
               "-append", "console=ttyS0 panic=-1 quiet loglevel=4 no_timer_check " + options.append]
    try:
        subprocess.run(command, check=False, timeout=options.seconds, stdin=subprocess.DEVNULL)
        over = False
    except subprocess.TimeoutExpired:
        over = True
    text = ""
    if os.path.exists(output):
        with open(output, "rb") as file:
            text = file.read().decode("latin1")
    text, found, status = text.rpartition("\nSTATUS ")
    sys.stdout.write(text if found else status)
    if found:
        return int(status)
    with open(console, "rb") as file:
        sys.stderr.write(file.read().decode("latin1")[-4000:])
    sys.stderr.write("in_qemu.py: %s\n" % ("time is over" if over else "the machine has failed"))
    return 124 if over else 125


def main():
    parser = argparse.ArgumentParser(description="Run a command on a CPU that QEMU emulates.")
    parser.add_argument("--kernel", default=os.path.join(HERE, "../build/guest/vmlinuz"))
    parser.add_argument("--cpu", default=CPU)
    parser.add_argument("--append", default="", help="more of the kernel's command line")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--file", action="append", default=[], metavar="FILE")
    parser.add_argument("command")
    options = parser.parse_args()
    if not shutil.which(QEMU):
        print("skipped: there is no %s (Debian: qemu-system-x86)" % QEMU)
        sys.exit(SKIPPED)
    if not os.path.exists(options.kernel):
        print("skipped: there is no kernel %s (make guest)" % options.kernel)
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory(prefix="in_qemu.") as folder:
        sys.exit(run_machine(options, folder))


if __name__ == "__main__":
    main()
