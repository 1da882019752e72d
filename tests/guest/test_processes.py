#!/usr/bin/env python3
"""The board and the vCPU's process die, stop, and go on: the other tells of it, and nothing is left."""
import os
import signal
import time
import unittest

import guest

SPIN = ("-m", "64M", "-k", guest.path("hostile"), "-a", "spin")
PRINT = ("-m", "64M", "-k", guest.path("hostile"), "-a", "print")
HALT = ("-k", guest.path("exits"), "-a", "halt")
END_TIME = 2


def wait_gone(pid, seconds=END_TIME):
    end = time.monotonic() + seconds
    while not guest.is_gone(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Deaths(unittest.TestCase):
    def test_board_killed(self):
        """The vCPU ends, and says what the guest was doing."""
        for arguments in (SPIN, PRINT, HALT):
            for number in (signal.SIGKILL, signal.SIGSEGV):
                with self.subTest(guest=arguments[-1], signal=number):
                    with guest.Run(*arguments) as machine:
                        vcpu = machine.wait_for_vcpu()
                        time.sleep(0.3)
                        os.kill(machine.pid, number)
                        machine.wait(END_TIME)
                        self.assertEqual(machine.process.returncode, -number)
                        gone = wait_gone(vcpu)
                        if not gone:
                            os.kill(vcpu, signal.SIGKILL)
                        self.assertTrue(gone, "the vCPU's process lives on")
                        text = machine.text()
                        self.assertIn("has died", text)
                        self.assertRegex(text, r"rip [0-9a-f]{16}")

    def test_vcpu_killed(self):
        """The board says so, with the guest's registers, and ends with 125."""
        for arguments in (SPIN, PRINT, HALT):
            for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGSYS):
                with self.subTest(guest=arguments[-1], signal=number):
                    with guest.Run(*arguments) as machine:
                        vcpu = machine.wait_for_vcpu()
                        time.sleep(0.3)
                        os.kill(vcpu, number)
                        self.assertEqual(machine.wait(END_TIME), 125, machine.tail())
                        text = machine.text()
                        self.assertIn("ringer: the process of vCPU 0 died", text)
                        self.assertRegex(text, r"RIP=[0-9a-f]{16}")
                        self.assertTrue(wait_gone(vcpu))

    def test_vcpu_killed_while_stopped(self):
        with guest.Run(*SPIN) as machine:
            vcpu = machine.wait_for_vcpu()
            os.kill(vcpu, signal.SIGSTOP)
            time.sleep(0.1)
            os.kill(vcpu, signal.SIGKILL)
            self.assertEqual(machine.wait(END_TIME), 125, machine.tail())


class Stops(unittest.TestCase):
    def test_both_stop_and_go_on(self):
        with guest.Run(*PRINT) as machine:
            vcpu = machine.wait_for_vcpu()
            machine.wait_for_text("once more")
            for pid in (machine.pid, vcpu):
                os.kill(pid, signal.SIGSTOP)
            time.sleep(0.5)
            before = len(machine.text())
            time.sleep(0.3)
            self.assertEqual(len(machine.text()), before)
            for pid in (machine.pid, vcpu):
                os.kill(pid, signal.SIGCONT)
            end = time.monotonic() + 5
            while len(machine.text()) == before and time.monotonic() < end:
                time.sleep(0.02)
            self.assertGreater(len(machine.text()), before)
            self.assertIsNone(machine.end())

    def test_one_stops_and_goes_on(self):
        for which in ("board", "vcpu"):
            with self.subTest(which=which):
                with guest.Run(*PRINT) as machine:
                    vcpu = machine.wait_for_vcpu()
                    machine.wait_for_text("once more")
                    pid = machine.pid if which == "board" else vcpu
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(1.5)
                    os.kill(pid, signal.SIGCONT)
                    before = len(machine.text())
                    end = time.monotonic() + 5
                    while len(machine.text()) <= before and time.monotonic() < end:
                        time.sleep(0.02)
                    self.assertGreater(len(machine.text()), before)
                    self.assertIsNone(machine.end())

    def test_end_while_vcpu_is_stopped(self):
        """A vCPU that does not answer does not keep the board from its end."""
        with guest.Run(*SPIN) as machine:
            vcpu = machine.wait_for_vcpu()
            os.kill(vcpu, signal.SIGSTOP)
            os.kill(machine.pid, signal.SIGTERM)
            status = machine.wait(15)
            self.assertIn(status, (125, 128 + signal.SIGTERM), machine.tail())
            self.assertTrue(wait_gone(vcpu))

    def test_signals_to_the_group(self):
        """As a terminal and a service manager send them: to all processes at once."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(signal=number):
                with guest.Run(*SPIN) as machine:
                    vcpu = machine.wait_for_vcpu()
                    time.sleep(0.2)
                    os.killpg(machine.pid, number)
                    self.assertEqual(machine.wait(END_TIME), 128 + number, machine.tail())
                    self.assertTrue(wait_gone(vcpu))
                    self.assertIsNone(machine.leftovers())


class Jail(unittest.TestCase):
    def test_vcpu_holds_nothing(self):
        """Its descriptors, and its seccomp filter."""
        with guest.Run(*SPIN) as machine:
            vcpu = machine.wait_for_vcpu()
            machine.wait(0.3)
            with open("/proc/%d/status" % vcpu) as file:
                status = file.read()
            self.assertRegex(status, r"(?m)^Seccomp:\s+2$")
            self.assertRegex(status, r"(?m)^NoNewPrivs:\s+1$")
            self.assertRegex(status, r"(?m)^Threads:\s+1$")
            names = sorted(os.readlink("/proc/%d/fd/%s" % (vcpu, fd))
                           for fd in os.listdir("/proc/%d/fd" % vcpu))
            self.assertLessEqual(len(names), 4, names)
            for name in names[:-1]:
                self.assertRegex(name, r"memfd|eventfd|/", names)
            self.assertIsNone(machine.end())


unittest.main(verbosity=2)
