#!/usr/bin/env python3
"""Two CPUs and a Linux guest: a program whose threads hand over futexes, change mappings and code, and
check what the others see (threads.c).  THREADS in the environment is its path; it comes into the
guest as a disk."""
import os
import tempfile
import unittest

import harness

PROGRAM = os.environ.get("THREADS", os.path.join(harness.BUILD, "tests", "boot", "threads"))
ROUNDS = 200
STRESS_TIME = 300   # seconds


class Threads(unittest.TestCase):
    def test_stress(self):
        with open(PROGRAM, "rb") as file:
            program = file.read()
        disk = tempfile.NamedTemporaryFile()
        self.addCleanup(disk.close)
        disk.write(program + bytes(-len(program) % 512))
        disk.flush()
        with harness.linux("-c", "2", "-d", disk.name + ",ro") as machine:
            machine.expect("machine made by Ringer", harness.BOOT_TIME)
            machine.expect("^" + harness.PROMPT)
            self.assertEqual(machine.command("nproc").strip(), "2")
            machine.command("cat /dev/vda >threads; chmod +x threads")
            answer = machine.command("./threads %u; echo status $?" % ROUNDS, STRESS_TIME)
            lines = answer.splitlines()
            self.assertEqual(lines[-1], "status 0", answer)
            self.assertEqual([line for line in lines[:-1] if not line.endswith(": well")], [])
            self.assertEqual(len(lines), 10, answer)
            self.assertNotRegex(machine.command("dmesg"), "Call Trace|BUG:|WARNING:|segfault")
            machine.send("poweroff\n")
            self.assertEqual(machine.finish(), (0, ""))


harness.main()
