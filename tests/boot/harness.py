"""Drives `ringer run` on a pseudo-terminal or on pipes.

RINGER and GUEST in the environment are the program and the folder with vmlinuz and initramfs.cpio;
without, those of build/.  ENGINE, if it is there, holds the options that choose the engine.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build")
RINGER = os.environ.get("RINGER", os.path.join(BUILD, "ringer"))
GUEST = os.environ.get("GUEST", os.path.join(BUILD, "guest"))
KERNEL = os.path.join(GUEST, "vmlinuz")
INITRAMFS = os.path.join(GUEST, "initramfs.cpio")
ENGINE = os.environ.get("ENGINE", "").split()
PROMPT = "ringer# "

# How long the guest may take to its prompt, and then for a command, in seconds.
BOOT_TIME = 120
COMMAND_TIME = 60


class Machine:
    """A `ringer run` that is running."""

    def __init__(self, *arguments, terminal=False, size=None, errors_to_terminal=False,
                 prefix=()):
        self.text = ""      # all output so far, without carriage returns
        self.seen = 0       # what expect() has gone past
        self.raw = b""
        self.master = None
        if terminal:
            self.master, slave = pty.openpty()
            if size:    # columns, rows
                fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size[::-1], 0, 0))
            self.before = termios.tcgetattr(slave)
            self.slave = slave
            streams = dict(stdin=slave, stdout=slave)
            self.input = self.output = self.master
        else:
            streams = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        errors = streams["stdout"] if errors_to_terminal else subprocess.PIPE
        self.process = subprocess.Popen([*prefix, RINGER, "run", *ENGINE, *arguments], stderr=errors,
                                        start_new_session=True, **streams)
        if not terminal:
            self.input = self.process.stdin.fileno()
            self.output = self.process.stdout.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        if self.master is not None:
            os.close(self.master)
            os.close(self.slave)

    def read(self, timeout):
        """Reads something within timeout seconds; False at the end of the output."""
        if not select.select([self.output], [], [], timeout)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self.output, 65536)
        except OSError:
            data = b""
        self.raw += data
        self.text = self.raw.decode("latin1").replace("\r", "")
        return bool(data)

    def expect(self, pattern, timeout=COMMAND_TIME):
        """Waits for a regular expression beyond what was expected before; returns its match."""
        end = time.monotonic() + timeout
        while True:
            match = re.compile(pattern, re.M).search(self.text, self.seen)
            if match:
                self.seen = match.end()
                return match
            alive = self.read(0.2)
            if not alive and not re.compile(pattern, re.M).search(self.text, self.seen):
                raise AssertionError("the end came before %r; output:\n%s\nerrors:\n%s" % (
                    pattern, self.text[-4000:], self.errors()))
            if time.monotonic() > end:
                raise AssertionError("no %r in %d s; output:\n%s" % (
                    pattern, timeout, self.text[-4000:]))

    def send(self, text):
        """Types text slowly enough for a UART whose guest polls it."""
        os.write(self.input, text.encode("latin1"))

    def command(self, line, timeout=COMMAND_TIME):
        """Types a command in the guest's shell; returns what it printed, once there is a prompt."""
        self.send(line + "\n")
        # The shell's echo of a long line has line ends of its own.
        self.expect("\n?".join(map(re.escape, line[-20:])) + r"\n", timeout)
        start = self.seen
        self.expect("^" + PROMPT, timeout)
        return self.text[start:self.seen - len(PROMPT)]

    def errors(self):
        if self.process.poll() is None or not self.process.stderr:
            return ""
        return self.process.stderr.read().decode(errors="replace")

    def finish(self, timeout=COMMAND_TIME):
        """Waits for the end; returns the exit status and standard error."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError("ringer goes on after %d s; output:\n%s" % (
                    timeout, self.text[-4000:]))
            self.read(0.1)
        while self.read(0.1) and select.select([self.output], [], [], 0)[0]:
            pass
        return self.process.returncode, self.errors()


def linux(*arguments, append="", **options):
    """A machine with the Debian kernel, entered directly."""
    return Machine("--protocol", "vmlinux", "-k", KERNEL, "-i", INITRAMFS,
                   "-a", "console=ttyS0 quiet " + append, *arguments, **options)


def run(*arguments, stdin=b"", timeout=60):
    """Runs `ringer run` to its end; returns its status, output and errors."""
    result = subprocess.run([RINGER, "run", *ENGINE, *arguments], input=stdin, capture_output=True,
                            timeout=timeout)
    return result.returncode, result.stdout.decode("latin1"), result.stderr.decode("latin1")


def main():
    for path in (KERNEL, INITRAMFS):
        if not os.path.exists(path):
            print("skipped: there is no %s; run `make guest`" % path)
            sys.exit(77)
    unittest.main(verbosity=2)
