#!/usr/bin/env python3
"""The guest's screen in the terminal and in the monitor, and its keyboard."""
import codecs
import fcntl
import os
import re
import signal
import struct
import termios
import time
import unittest

import harness
import vt

MEMTEST = os.path.join(harness.GUEST, "memtest86+", "x64.bin")
needs_memtest = unittest.skipUnless(
    os.path.exists(MEMTEST), "there is no %s; `make check` fetches it where it can" % MEMTEST)


class Display:
    """A machine whose screen is shown in a terminal of that size."""

    def __init__(self, machine, columns=80, rows=25):
        self.machine = machine
        self.terminal = vt.Terminal(columns, rows)
        self.fed = 0
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def update(self, timeout=0.1):
        alive = self.machine.read(timeout)
        self.terminal.feed(self.decoder.decode(self.machine.raw[self.fed:]))
        self.fed = len(self.machine.raw)
        return alive

    def expect(self, pattern, timeout=harness.COMMAND_TIME):
        """Waits until the screen shows a regular expression."""
        end = time.monotonic() + timeout
        while not re.search(pattern, self.terminal.text(), re.M):
            alive = self.update()
            if time.monotonic() > end or not alive:
                raise AssertionError("no %r on the screen:\n%s\n%s" % (
                    pattern, self.terminal.text(), self.machine.errors()))

    def expect_cursor_behind(self, text, timeout=harness.COMMAND_TIME):
        """Waits until the cursor is shown, at the end of a line that is that text."""
        terminal = self.terminal
        end = time.monotonic() + timeout
        while not (terminal.cursor_shown and terminal.column == len(text) and
                   terminal.lines()[terminal.row] == text.rstrip()):
            self.update()
            if time.monotonic() > end:
                raise AssertionError("the cursor is at %d, %d on the screen:\n%s" % (
                    terminal.row, terminal.column, terminal.text()))

    def expect_main(self, pattern, timeout=harness.COMMAND_TIME):
        """Waits until the terminal's main screen has been given a regular expression."""
        end = time.monotonic() + timeout
        while not re.search(pattern, "".join(self.terminal.main)):
            self.update()
            if time.monotonic() > end:
                raise AssertionError("no %r in %r" % (pattern, "".join(self.terminal.main)))

    def type(self, text):
        self.machine.send(text)

    def resize(self, columns, rows):
        resize(self.machine.slave, columns, rows)
        os.kill(self.machine.process.pid, signal.SIGWINCH)
        self.terminal.resize(columns, rows)


def resize(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def linux(*arguments, append="", size=(80, 25), **options):
    return harness.Machine("--protocol", "vmlinux", "-k", harness.KERNEL, "-i", harness.INITRAMFS,
                           "-a", "quiet cryptomgr.notests " + append, *arguments,
                           terminal=True, size=size, **options)


class Screen(unittest.TestCase):
    def assert_restored(self, machine, display):
        while display.update() and machine.process.poll() is None:
            pass
        self.assertEqual(termios.tcgetattr(machine.slave), machine.before)
        terminal = display.terminal
        self.assertFalse(terminal.alternate)
        self.assertTrue(terminal.wraps and terminal.cursor_shown)

    def test_linux(self):
        """A shell on the virtual terminal: text, colours, keys, the cursor; and the monitor."""
        with linux("--display", "text", "--no-reboot", "--console", "pty",
                   errors_to_terminal=True) as machine:
            display = Display(machine)
            display.expect_main(r"^ringer: COM1 is at /dev/pts/\d+\r\n$")
            display.expect("^ringer# $|^ringer#$", harness.BOOT_TIME)
            self.assertTrue(display.terminal.alternate)
            display.type("echo $((6 * 7)) \"{|}~\" <\x7f\n")
            display.expect(r"^42 \{\|\}~$")
            display.type("clear; printf '\\033[1;33;41mwarm\\033[0m \\260\\333\\n'\n")
            display.expect("^warm ")
            self.assertEqual(display.terminal.attributes_of("warm"), "0;93;41")
            # The arrow up, Home, Ctrl-C; a command that the shell has not got before.
            display.type("echo first$((1+1))\n")
            display.expect("^first2$")
            display.type("\x1b[A\x1b[Hclear; \n")
            display.expect(r"\Afirst2$")
            # A Ctrl-C that comes before the shell has started its command is lost in any terminal.
            display.type("sh -c 'echo started; exec sleep 1000'\n")
            display.expect("^started$")
            display.type("\x03")
            display.expect(r"\^C\nringer#")
            display.expect_cursor_behind("ringer# ")
            self.monitor(display)
            self.resizing(display)
            machine.send("\x01c")
            display.expect_main(r"\(ringer\) $")
            machine.send("key ctrl-alt-delete\r")   # Linux reboots at once
            self.assertEqual(machine.finish()[0], 0)
            self.assert_restored(machine, display)

    def monitor(self, display):
        """The monitor has the main screen; what it types and shows is the guest's."""
        display.type("\x01h")
        display.expect_main("Any key goes back")
        display.type(" ")
        display.expect("^started$")
        display.type("\x01c")
        display.expect_main(r"\(ringer\) $")
        self.assertFalse(display.terminal.alternate)
        display.type("type clear; echo $((100 - 1))\\n\r")
        display.expect_main(r"type clear.*\n\(ringer\) $")
        self.ask_for_screen(display, r"\A99\r\nringer#\r\n\(ringer\) \Z")
        display.type("key hyper-x\r")
        display.expect_main("'hyper-x' are no keys")
        display.type("\x04")
        display.expect("^99$")

    def ask_for_screen(self, display, pattern):
        """Has the monitor tell the screen again and again, until it is so."""
        end = time.monotonic() + harness.COMMAND_TIME
        while True:
            display.type("screen\r")
            display.expect_main(r"screen\r\n[^(]*\(ringer\) $")
            answer = "".join(display.terminal.main).rpartition("screen\r\n")[2]
            if re.search(pattern, answer):
                return
            self.assertLess(time.monotonic(), end, answer)
            time.sleep(0.2)
            display.terminal.main.clear()

    def resizing(self, display):
        display.resize(80, 24)
        display.expect("The guest's screen is 80 by 25, and this terminal 80 by 24")
        display.resize(132, 40)
        display.expect("^99$")

    @needs_memtest
    def test_stop_and_quit(self):
        """kill -TSTP gives the terminal back, and kill -CONT draws everything again."""
        with harness.Machine("--display", "text", "-k", MEMTEST, "-m", "32M", terminal=True,
                             size=(80, 25)) as machine:
            display = Display(machine)
            display.expect("Memtest86", harness.BOOT_TIME)
            os.kill(machine.process.pid, signal.SIGTSTP)
            end = time.monotonic() + 10
            while display.terminal.alternate and time.monotonic() < end:
                display.update()
            self.assertFalse(display.terminal.alternate)
            # The last it writes; then it gives the terminal back, and only then it stops.
            stopped = os.waitid(os.P_PID, machine.process.pid, os.WSTOPPED | os.WNOWAIT)
            self.assertEqual(stopped.si_status, signal.SIGSTOP)
            self.assertEqual(termios.tcgetattr(machine.slave), machine.before)
            os.kill(machine.process.pid, signal.SIGCONT)
            display.expect("Memtest86")
            self.assertTrue(display.terminal.alternate)
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)
            self.assert_restored(machine, display)

    @needs_memtest
    def test_memtest(self):
        """memtest86+ on its text screen: it tests, finds nothing, and has a menu behind F1."""
        with harness.Machine("--display", "text", "-k", MEMTEST, "-m", "32M", terminal=True,
                             size=(80, 25)) as machine:
            display = Display(machine)
            display.expect(r"^.*Memtest86\+.*$", harness.BOOT_TIME)
            display.expect(r"#(?:[2-9]|10) +\[", harness.BOOT_TIME)
            display.expect(r"Errors: +0\b")
            display.type("\x1bOP")
            display.expect("Settings:")
            display.type("\x1b")
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)
            self.assert_restored(machine, display)

    def test_no_terminal(self):
        status, _, errors = harness.run("--display", "text")
        self.assertEqual(status, 1)
        self.assertEqual(errors, "ringer: the screen can only be shown in a terminal\n")


class Serial(unittest.TestCase):
    def test_monitor_of_a_serial_console(self):
        """The screen and the keyboard are there without being shown."""
        with linux(append="console=tty0 console=ttyS0") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            answer = machine.command("cat /proc/bus/input/devices")
            self.assertIn("AT Translated Set 2 keyboard", answer)
            machine.command("echo from the guest > /dev/tty1")
            machine.send("(exec < /dev/tty1; echo reading; head -n 1 | rev)\n")
            machine.expect("^reading$")
            machine.send("\x01c")
            machine.expect(r"\(ringer\) ")
            machine.send("screen\r")
            machine.expect("^from the guest$")
            machine.expect(r"\(ringer\) ")
            machine.send("type Typed, by the monitor!\\n\r")
            machine.expect("!rotinom eht yb ,depyT$")
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)


harness.main()
