#!/usr/bin/env python3
"""Debian's gdb on guests in 64-bit and 32-bit mode, on two CPUs, and on a Debian kernel."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

import door
from door import Door, may_fail

GOOD = 33  # the exit status of a test guest that found everything as it should be


class Debuggee(unittest.TestCase):
    """A guest of ours, compiled with debugging information."""
    name, pc, sp, ax = "debuggee64", "rip", "rsp", "rax"

    def door(self, append="rounds=2", **options):
        return Door("--debug-exit", "-k", door.path(self.name), "-a", append, **options)

    def debug(self, machine, *commands):
        return machine.gdb(*commands, symbols=door.path(self.name))

    def test_breakpoints_frames_and_watchpoints(self):
        with self.door() as machine:
            said = self.debug(
                machine, "break depth if n == 0", "continue", "backtrace", "info locals", "up",
                "print n", "watch counter", "continue", "delete", "finish", "print counter",
                "awatch pairs[2].second", "continue", "print/x pairs[2].second", "delete",
                "tbreak copy", "continue", "next", "next", "next", "print copied[8191]",
                "print copied[0] == copied[8191]", "continue")
            self.assertRegex(said, r"Breakpoint 1, depth \(n=0\)")
            self.assertEqual(len(re.findall(r"^#[0-5] .*depth \(n=\d\)", said, re.M)), 7, said)
            self.assertRegex(said, r"(?m)^#6 .* guest_main \(\)")
            self.assertRegex(said, r"\$1 = 1\n")
            self.assertRegex(said, r"Hardware watchpoint 2: counter\s+Old value = 0\s+New value = 1")
            self.assertRegex(said, r"Value returned is \$\d = 1")
            self.assertRegex(said, r"Hardware access \(read/write\) watchpoint \d: pairs\[2\]")
            self.assertIn("0x1122334400000002", said)
            self.assertRegex(said, r"= 2 '\\002'")
            self.assertRegex(said, r"exited with code 041") # gdb has it in octal
            self.assertEqual(machine.finish(), GOOD)

    def test_registers(self):
        with self.door() as machine:
            said = self.debug(
                machine, "hbreak registers_are_set", "continue", "info registers", "print $st0",
                "print $st1", "print $xmm1.v4_int32", "print $xmm2.v2_int64", "print $cr0 & 1",
                "print/x $%s" % self.ax, "print $%s == (long)&registers_are_set" % self.pc,
                "print/x $ftag", "set var $xmm2.v4_float[1] = 0.5", "print $xmm2.v4_float",
                "set var $%s = 0x77" % self.ax, "stepi", "print/x $%s" % self.ax,
                "print $ymm1.v8_int32", "set var $st0 = 2.5", "print $st0", "print $fctrl",
                "print $eflags", "set var $eflags = 0xd7", "print $eflags")
            for line in (r"^%s +0x[0-9a-f]+ +0x[0-9a-f]+ <registers\+" % self.pc,
                         r"^cr4 .*OSFXSR", r"= 3\.14159265", r"^\$2 = 1$",
                         r"= \{-1, -1, -1, -1\}", r"= \{0, 0\}", r"^\$5 = (1|\[ PE \])$",
                         r"= 0x1234$", r"^\$7 = 1$", r"^\$8 = 0xfff$", r"= \{0, 0\.5, 0, 0\}",
                         r"= 0x77$", r"= \{-1, -1, -1, -1, 0, 0, 0, 0\}", r"= 2\.5$", r"= 895$",
                         r"= \[ CF PF AF ZF SF \]"):
                self.assertRegex(said, re.compile(line, re.M))
            self.assertEqual(machine.finish(), GOOD) # gdb has gone: the guest runs on

    def test_memory(self):
        with self.door() as machine:
            said = self.debug(
                machine, "break guest_main", "continue", "set var pairs[1].second = 0x123456789a",
                "print/x pairs[1].second", "x/2xw &pairs[1].second", may_fail("print *(char *)0xe0000000"),
                may_fail("set var *(char *)0xe0000000 = 1"), "x/i $pc", "monitor x/i $pc",
                "monitor info status", "monitor nonsense",
                may_fail("find /b &copied[0], +4096, 1"),
                "set var copied[77] = 1", "find /b &copied[0], +4096, 1",
                "dump binary memory /dev/null copied copied+8192")
            self.assertIn("= 0x123456789a", said)
            self.assertRegex(said, r"0x3456789a\s+0x00000012")
            self.assertEqual(said.count("Cannot access memory at address 0xe0000000"), 2, said)
            self.assertRegex(said, r"=> 0x[0-9a-f]+ <guest_main\+\d+>")
            self.assertRegex(said, r"(?m)^[0-9a-f]{16}: ") # the monitor's disassembly
            self.assertIn("the guest is stopped", said)
            self.assertIn("that is not known", said)
            self.assertIn("Pattern not found", said)
            self.assertRegex(said, r"<copied\+77>\n1 pattern found")
            self.assertEqual(machine.finish(), GOOD)

    def test_steps(self):
        with self.door() as machine:
            said = self.debug(
                machine, "tbreak copy", "continue", "next", "next", "display/i $pc",
                "while *(unsigned char *)$pc != 0xf3", "stepi", "end",
                "stepi", "print copied[8191]", # a REP STOSB is one step
                "undisplay 1", "tbreak fill", "continue", "next", "step", "next", "next", "until",
                "kill")
            self.assertRegex(said, r"rep stos [^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n\$1 = 1 '\\001'")
            self.assertIn("pairs[i].second = 0x1122334400000000ull + i;", said)
            self.assertIn("Remote target) killed", said)
            self.assertEqual(machine.finish(), 0)

    def test_interrupt_and_reconnect(self):
        with self.door("spin rounds=1", wait=False) as machine:
            machine.wait_for_text("spinning")
            for _ in range(3):
                said = self.debug(machine, "backtrace", "print released", "detach")
                self.assertRegex(said, r"#0 .* spin \(\)")
            # Ctrl-C while it runs, which gdb gets from a timer of its own.
            said = self.debug(
                machine, "python import threading, os, signal",
                "python threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()",
                "continue", "backtrace 1", "set var released = 1", "continue")
            self.assertIn("SIGINT", said)
            self.assertRegex(said, r"#0 .* spin \(\)")
            self.assertRegex(said, r"exited with code 041")
            self.assertEqual(machine.finish(), GOOD)

    def test_a_jump_to_a_breakpoint(self):
        with self.door() as machine:
            said = self.debug(machine, "break depth", "continue", "jump *$pc", "delete", "continue")
            self.assertEqual(said.count("Breakpoint 1, "), 2, said)
            self.assertEqual(machine.finish(), GOOD)

    def test_virtual_time_is_not_changed(self):
        """Whoever looks: the guest executes the same instructions."""
        counts = []
        for looks in False, True:
            with Door("--icount", "--stats", "--debug-exit", "-k", door.path(self.name), "-a",
                      "rounds=2", wait=looks) as machine:
                if looks:
                    self.debug(machine, "break depth", "watch copied[5000]", "continue", "continue",
                               "stepi 50", "next", "next", "continue", "detach")
                self.assertEqual(machine.finish(), GOOD)
                counts.append(re.search(r'"instructions": *(\d+)', machine.text()).group(1))
        self.assertEqual(counts[0], counts[1])


    def test_backwards_in_a_replay(self):
        run = ("--debug-exit", "-k", door.path(self.name), "-a", "rounds=2")
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "recording")
            status = subprocess.run([door.RINGER, "run", "--record", file, *run],
                                    stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                                    timeout=door.PATIENCE).returncode
            self.assertEqual(status, GOOD)
            with Door("--replay", file, *run) as machine:
                said = self.debug(
                    machine, "break depth if n == 0", "continue", "continue", "print counter",
                    "delete", "watch counter", "reverse-continue", "print counter",
                    "python before = str(gdb.parse_and_eval('$pc'))", "stepi", "reverse-stepi",
                    "python print('same' if before == str(gdb.parse_and_eval('$pc')) else 'other')",
                    "delete", "break copy", "reverse-continue", "print value",
                    may_fail("set var counter = 7"), "reverse-finish", "print counter",
                    "delete", "reverse-continue", # to the beginning
                    "tbreak depth", "continue", "next", "reverse-next", "print n", "delete",
                    "continue", # to the end
                    "print counter", "reverse-stepi", "watch counter", "reverse-continue",
                    "print counter", "kill")
                values = re.findall(r"(?m)^\$\d+ = (.*)$", said)
                self.assertEqual(values, ["1", "0", "1 '\\001'", "0", "5", "2", "1"], said)
                self.assertRegex(said, r"watchpoint 2: counter\s+Old value = 1\s+New value = 0")
                self.assertIn("same\n", said)
                self.assertRegex(said, r"Breakpoint 3, copy \(value=1 '\\001'\)")
                self.assertRegex(said, r"Cannot access memory|failed|E16|nothing may change")
                self.assertEqual(said.count("No more reverse-execution history"), 2, said)
                self.assertEqual(machine.text().count("ok   depth"), 2) # each is told once
                self.assertEqual(machine.finish(), 0)
            with Door("--replay", file, *run) as machine: # and it is still the same run
                self.debug(machine, "break depth", "continue", "reverse-stepi", "detach")
                self.assertEqual(machine.finish(), GOOD)


    def test_a_recording_that_is_debugged(self):
        """It is recorded as without a debugger, and ends where the debugger ended it."""
        run = ("--debug-exit", "-k", door.path(self.name), "-a", "rounds=2")
        for last in "detach", "kill":
            with tempfile.TemporaryDirectory() as folder:
                file = os.path.join(folder, "recording")
                with Door("--record", file, *run) as machine:
                    said = self.debug(machine, "break depth", "continue", "stepi 7", "next",
                                      may_fail("set var counter = 7"), "watch counter", "delete 1",
                                      "continue", "print counter", last)
                    self.assertRegex(said, r"\$\d = 1\n")
                    status = machine.finish()
                result = subprocess.run([door.RINGER, "run", "--replay", file, *run],
                                        stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, timeout=door.PATIENCE)
                self.assertEqual(result.returncode, status, result.stderr)
                self.assertEqual("the recording ends here" in result.stderr, last == "kill")


class Debuggee32(Debuggee):
    name, pc, sp, ax = "debuggee32", "eip", "esp", "eax"


class TwoCpus(unittest.TestCase):
    def test_threads(self):
        with Door("-c", "2", "--debug-exit", "-k", door.path("smp")) as machine:
            said = machine.gdb("info threads", "thread 2", "info registers rip", "thread 1",
                               "break check", "continue", "info threads", "stepi",
                               "thread apply all info registers rip", "delete", "continue",
                               symbols=door.path("smp"))
            self.assertRegex(said, r"(?m)^\* 1 +Thread 1 \(CPU 0 running\)")
            self.assertRegex(said, r"(?m)^ +2 +Thread 2 \(CPU 1 halted\)")
            self.assertRegex(said, r"\[Switching to thread 2 \(Thread 2\)\]")
            self.assertRegex(said, r"Thread 1 .*hit Breakpoint 1, .* check \(\)")
            self.assertRegex(said, r"exited with code 041")
            self.assertEqual(machine.finish(), GOOD)

    def test_a_breakpoint_on_the_other(self):
        with Door("-c", "2", "--debug-exit", "-k", door.path("smp")) as machine:
            # Where the second CPU starts, in real mode: the address is linear.
            said = machine.gdb("hbreak *0x90000", "continue", "info threads", "print $cs",
                               "print $rip", "print $cs_base", "delete", "continue",
                               symbols=door.path("smp"))
            self.assertRegex(said, r"Thread 2 received signal SIGTRAP")
            self.assertRegex(said, r"\$1 = 36864")
            self.assertRegex(said, r"\$2 = .*0x0\b")
            self.assertRegex(said, r"\$3 = 589824")
            self.assertEqual(machine.finish(), GOOD)


class Linux(unittest.TestCase):
    """A Debian kernel, without its symbols."""

    def test_boot(self):
        kernel = os.path.join(door.GUEST, "vmlinuz")
        initramfs = os.path.join(door.GUEST, "initramfs.cpio")
        if not os.path.exists(kernel):
            self.skipTest("there is no %s; run `make guest`" % kernel)
        with Door("--protocol", "vmlinux", "-k", kernel, "-i", initramfs,
                  "-a", "console=ttyS0 quiet nokaslr") as machine:
            said = machine.gdb("info registers rip cr0 efer", "x/i $rip", "stepi 3", "x/i $rip",
                               "hbreak *$rip", "watch -location *(long *)($rsp - 8)", "continue")
            self.assertRegex(said, r"(?m)^rip +0x1000\w{3}")
            self.assertRegex(said, r"(?m)^efer .*LMA")
            self.assertEqual(len(re.findall(r"(?m)^=> 0x1000", said)), 2)
            self.assertRegex(said, r"(?s)Hardware watchpoint 2: .*Old value")
            machine.wait_for_text("ringer# ")
            # Now it is in the idle loop, or in the shell; stop it somewhere in its kernel.
            said = machine.gdb("print/x $cr3 & 0xfff", "info registers rip cs cr4",
                               "tbreak *$pc", "continue", "info registers rip", "x/2i $pc",
                               "stepi", "detach")
            rips = re.findall(r"(?m)^rip +(0xffffffff\w+)", said)
            self.assertEqual(len(rips), 2, said)
            self.assertEqual(rips[0], rips[1], said)
            machine.process.stdin.write(b"echo still-$((40 + 2)); poweroff -f\n")
            machine.process.stdin.flush()
            self.assertEqual(machine.finish(), 0)
            self.assertIn("still-42", machine.text())


if not door.GDB:
    print("skipped: there is no gdb; `apt-get install gdb`")
    sys.exit(77)
unittest.main(verbosity=2)
