#!/usr/bin/env python3
"""A guest's reboot makes the machine anew; with --no-reboot it ends."""
import unittest

import harness


class Reboot(unittest.TestCase):
    def test_reboot_and_linux_protocol(self):
        # Here the kernel decompresses itself: the 64-bit Linux boot protocol as a loader uses it.
        with harness.Machine("--protocol", "linux", "-k", harness.KERNEL, "-i", harness.INITRAMFS,
                             "-a", "console=ttyS0 quiet") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            machine.command("touch /tmp/gone")
            machine.send("reboot\n")
            machine.expect("machine made by Ringer", harness.BOOT_TIME)
            machine.expect("^" + harness.PROMPT)
            answer = machine.command("ls /tmp")
            self.assertEqual(answer.strip(), "")
            machine.send("poweroff\n")
            self.assertEqual(machine.finish()[0], 0)

    def test_no_reboot(self):
        with harness.linux("--no-reboot") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            machine.send("reboot\n")
            self.assertEqual(machine.finish()[0], 0)


harness.main()
