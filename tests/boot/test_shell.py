#!/usr/bin/env python3
"""The Debian kernel boots to a shell, and what is typed there gives the right answers."""
import hashlib
import re
import unittest

import harness


class Shell(unittest.TestCase):
    def test_commands(self):
        with harness.linux() as machine:
            machine.expect("machine made by Ringer", harness.BOOT_TIME)
            machine.expect("^" + harness.PROMPT)

            answer = machine.command("uname -a")
            self.assertRegex(answer, r"^Linux ringer \d+\.\d+.*cloud-amd64 .* x86_64 GNU/Linux")

            answer = machine.command("cat /proc/cpuinfo")
            self.assertRegex(answer, r"(?m)^processor\s*: 0$")
            self.assertRegex(answer, r"(?m)^model name\s*: .*Ringer")
            flags = re.search(r"(?m)^flags\s*: (.*)$", answer).group(1).split()
            for flag in ("lm", "sse4_2", "avx2", "bmi2", "fma", "movbe", "hypervisor"):
                self.assertIn(flag, flags)

            self.check_pipeline(machine)
            self.check_floating_point(machine)
            self.check_job_control(machine)

            # What the kernel says where its machine surprises it: so far, then on its way out.
            surprises = "Call Trace|unchecked MSR|BUG:|WARNING:"
            self.assertNotRegex(machine.command("dmesg"), surprises)
            machine.command("dmesg -n 8")
            machine.send("poweroff\n")
            status, errors = machine.finish()
            self.assertEqual((status, errors), (0, ""))
            self.assertIn("Power down", machine.text)
            self.assertNotRegex(machine.text, surprises)

    def check_pipeline(self, machine):
        """gzip there and back, sha256sum and awk, over data that Python computes too."""
        lines = "".join("%d %d\n" % (i, i * i % 9973) for i in range(1, 20001))
        machine.command("seq 1 20000 | awk '{ print $1, $1 * $1 % 9973 }' >data")
        answer = machine.command("gzip -c data | gunzip -c | sha256sum")
        self.assertIn(hashlib.sha256(lines.encode()).hexdigest(), answer)
        total = sum(i * i % 9973 for i in range(1, 20001))
        answer = machine.command("awk '{ sum += $2 } END { print sum }' data")
        self.assertEqual(answer.strip(), str(total))

    def check_floating_point(self, machine):
        """The same operations in the same order give the same double."""
        total = 0.0
        for i in range(1, 5001):
            total += 1 / (i * i)
        answer = machine.command(
            "awk 'BEGIN { for (i = 1; i <= 5000; i++) s += 1 / (i * i); printf \"%.15g\\n\", s }'")
        self.assertEqual(answer.strip(), "%.15g" % total)

    def check_job_control(self, machine):
        machine.send("sh -c 'echo be''gun; sleep 1000'\n")
        machine.expect("^begun$")
        machine.send("\x03")
        machine.expect("^" + harness.PROMPT)
        answer = machine.command("echo alive $((6 * 7))")
        self.assertEqual(answer.strip(), "alive 42")

    def test_two_processors(self):
        """Both run the guest's work, and the kernel patches its own code under way."""
        with harness.linux("-c", "2") as machine:
            machine.expect("machine made by Ringer", harness.BOOT_TIME)
            machine.expect("^" + harness.PROMPT)
            self.assertEqual(machine.command("nproc").strip(), "2")
            machine.command("for i in 1 2 3 4; do seq 1 20000 | gzip -c >f$i & done; wait")
            answer = machine.command("for i in 1 2 3 4; do gunzip -c f$i | sha256sum; done | uniq")
            lines = "".join("%d\n" % i for i in range(1, 20001))
            self.assertEqual(answer.split()[0], hashlib.sha256(lines.encode()).hexdigest())
            self.assertEqual(answer.count("-"), 1)
            answer = machine.command("grep -E 'RES|LOC' /proc/interrupts")
            for count in re.findall(r"(?:RES|LOC):\s+(\d+)\s+(\d+)", answer):
                self.assertGreater(int(count[0]) * int(count[1]), 0)
            machine.send("poweroff\n")
            self.assertEqual(machine.finish(), (0, ""))


harness.main()
