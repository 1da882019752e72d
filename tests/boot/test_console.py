#!/usr/bin/env python3
"""The virtio console: a shell on hvc0, its size, a terminal that takes nothing for a while, sockets,
and a recorded session."""
import fcntl
import os
import re
import socket
import struct
import tempfile
import termios
import time
import unittest

import harness


def resize(machine, columns, rows):
    fcntl.ioctl(machine.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    # The terminal is nobody's controlling one, so nobody else tells.
    os.kill(machine.process.pid, 28)    # SIGWINCH


def hvc(*arguments, append="", **options):
    """The guest's console is hvc0, on the terminal."""
    return harness.Machine("--protocol", "vmlinux", "-k", harness.KERNEL, "-i", harness.INITRAMFS,
                           "-a", "console=hvc0 quiet " + append, "--hvc", "stdio", *arguments,
                           **options)


class Console(unittest.TestCase):
    def expect_size(self, machine, columns, rows):
        """A shell that learns of another size while it is typed to draws its line once more."""
        end = time.monotonic() + harness.COMMAND_TIME
        while True:
            machine.send("stty size\n")
            try:
                machine.expect(r"^%d %d\n" % (rows, columns), 5)
                return
            except AssertionError:
                if time.monotonic() > end:
                    raise

    def finish(self, machine):
        machine.send("poweroff\n")
        self.assertEqual(machine.finish(), (0, ""))

    def test_shell(self):
        """What is typed comes back, in whole lines and many; the size is the terminal's."""
        with hvc(terminal=True, size=(101, 33)) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            self.assertIn("hvc0", machine.command("tty"))
            self.expect_size(machine, 101, 33)
            resize(machine, 77, 22)
            self.expect_size(machine, 77, 22)
            start = machine.seen
            machine.send("seq 1 2000; echo end\n")
            machine.expect("^end\n")
            self.assertEqual(re.findall(r"^(\d+)\n", machine.text[start:], re.M),
                             [str(i) for i in range(1, 2001)])
            machine.send("seq 1 2000; poweroff -f\n")
            self.assertEqual(machine.finish(), (0, ""))
            self.assertTrue(machine.text.rstrip().endswith("\n2000"))    # the last words, too

    def test_slow_terminal(self):
        """Nobody reads the terminal: the guest waits with its output, and the board does not:
        the escape keys work.  Then all of the output is there."""
        with hvc(terminal=True) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            start = len(machine.text)
            machine.send("seq 1 20000; echo end\n")
            time.sleep(8)    # by then it has filled what can wait
            machine.send("\x01h")
            machine.expect("^end\n", harness.BOOT_TIME)
            said, count = re.subn(r"\nCtrl-A x(.*\n){4}", "", machine.text[start:])
            self.assertEqual(count, 1)
            self.assertEqual(re.findall(r"^(\d+)$", said, re.M),
                             [str(i) for i in range(1, 20001)])
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)

    def test_quit_while_the_terminal_takes_nothing(self):
        with hvc(terminal=True) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            machine.send("seq 1 200000\n")
            time.sleep(4)
            machine.send("\x01x")
            machine.process.wait(harness.COMMAND_TIME)
            self.assertEqual(machine.process.returncode, 0)

    def test_socket(self):
        """hvc0 beside the serial console, on a socket."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "hvc")
            with harness.linux("--hvc", "unix:" + path) as machine:
                machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(harness.COMMAND_TIME)
                client.connect(path)
                machine.command("exec 3<>/dev/hvc0; stty raw -echo <&3; cat <&3 >/tmp/got &")
                client.sendall(b"0123456789" * 1000)
                while "10000" not in machine.command("wc -c /tmp/got"):
                    pass
                machine.command("seq 1 20000 >&3 &")
                data = b""
                while not data.endswith(b"\n20000\n"):
                    data += client.recv(65536)
                self.assertEqual(data, b"".join(b"%d\n" % i for i in range(1, 20001)))
                client.close()
                machine.command("seq 1 20000 >&3")  # nobody is there: it is gone
                self.finish(machine)

    def test_replay(self):
        """What is typed and resized is recorded, and replayed to the last byte."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "record")
            with hvc("--record", path, terminal=True, size=(90, 40)) as machine:
                machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
                self.expect_size(machine, 90, 40)
                resize(machine, 70, 20)
                self.expect_size(machine, 70, 20)
                self.finish(machine)
                recorded = machine.raw
            with hvc("--replay", path, terminal=True, size=(33, 11)) as machine:
                self.assertEqual(machine.finish(harness.BOOT_TIME), (0, ""))
                self.assertEqual(machine.raw, recorded)
            # Without its console it is another machine.
            status, _, errors = harness.run("--replay", path, "-k", harness.KERNEL, "-i",
                                            harness.INITRAMFS, "--protocol", "vmlinux")
            self.assertEqual(status, 1)
            self.assertIn("was recorded with other devices", errors)


harness.main()
