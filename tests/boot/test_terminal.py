#!/usr/bin/env python3
"""On a terminal: raw while the guest has it, restored afterwards; the escape keys and the monitor."""
import os
import signal
import termios
import time
import unittest

import harness


class Terminal(unittest.TestCase):
    def assert_restored(self, machine):
        self.assertEqual(termios.tcgetattr(machine.slave), machine.before)

    def test_quit_and_monitor(self):
        with harness.linux(terminal=True) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            self.assertFalse(termios.tcgetattr(machine.slave)[3] & termios.ICANON)
            machine.send("\x01h")
            machine.expect("Ctrl-A x +end the machine")
            machine.send("\x01c")
            machine.expect(r"\(ringer\) ")
            machine.send("info registers\r")
            machine.expect("RIP=[0-9a-f]{16}")
            machine.expect(r"\(ringer\) ")
            machine.send("stop\rx/4i $rip\r")
            machine.expect("[0-9a-f]{16}: [a-z]+")
            machine.send("x/4xg $rsp\r")
            machine.expect("[0-9a-f]{16}: 0x[0-9a-f]{16} 0x[0-9a-f]{16}")
            machine.send("info mem\r")
            machine.expect("[0-9a-f]{16}-[0-9a-f]{16} to [0-9a-f]+ ")
            machine.send("info network\r")
            machine.expect("there is no network card")
            machine.send("nonsense\r")
            machine.expect("not known")
            machine.send("\x1b[A\x1b[3~!\r")  # the line before, and a key that says nothing here
            machine.expect("nonsense!")
            machine.send("i s\r")
            machine.expect("the guest is stopped")
            machine.send("cont\r")
            machine.expect(r"\(ringer\) ")
            machine.send("\x01c")
            time.sleep(0.2)
            machine.send("\n")
            machine.expect("^" + harness.PROMPT)
            answer = machine.command("echo still $((1 + 1))")
            self.assertIn("still 2", answer)
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)
            self.assert_restored(machine)

    def test_signal(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            with harness.linux(terminal=True) as machine:
                machine.expect("machine made by Ringer", harness.BOOT_TIME)
                os.kill(machine.process.pid, number)
                self.assertEqual(machine.finish()[0], 128 + number)
                self.assert_restored(machine)

    def test_stop_and_continue(self):
        with harness.linux(terminal=True) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            os.kill(machine.process.pid, signal.SIGTSTP)
            time.sleep(0.5)
            self.assert_restored(machine)
            os.kill(machine.process.pid, signal.SIGCONT)
            answer = machine.command("echo back")
            self.assertIn("back", answer)
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)
            self.assert_restored(machine)

    def test_lines_of_others(self):
        """What is not the guest's own ends its lines so that a raw terminal shows them well."""
        with harness.Machine("--trace", "exits", terminal=True, errors_to_terminal=True) as machine:
            self.assertEqual(machine.finish()[0], 0)
            self.assertRegex(machine.raw, rb"\d exit \w+ rip=")
            self.assertNotRegex(machine.raw, rb"rip=[0-9a-f]+\n")

    def test_begun_line_is_ended(self):
        with harness.linux(terminal=True) as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            machine.send("\x01x")
            self.assertEqual(machine.finish()[0], 0)
            self.assertTrue(machine.raw.endswith(b"\n"))

    def test_mistake_leaves_terminal(self):
        with harness.Machine("-k", "/nonexistent", terminal=True) as machine:
            self.assertEqual(machine.finish()[0], 1)
            self.assert_restored(machine)


harness.main()
