#!/usr/bin/env python3
"""Linux finds the devices on the PCI bus, by each way that interrupts can take."""
import re
import unittest

import harness


def boot(append="", *arguments):
    machine = harness.linux(*arguments, append=append)
    machine.expect("machine made by Ringer", harness.BOOT_TIME)
    machine.expect("^" + harness.PROMPT)
    return machine


SURPRISES = "Call Trace|BUG:|WARNING:|nobody cared"


class Pci(unittest.TestCase):
    def check_rng(self, machine, controller):
        """virtio-rng gives its bytes, and its interrupts come the way that they should."""
        before = self.count(machine, controller)
        answer = machine.command("dd if=/dev/hwrng bs=64 count=64 2>/dev/null | wc -c")
        self.assertEqual(int(answer), 64 * 64)
        self.assertGreater(self.count(machine, controller), before + 10)

    def count(self, machine, controller):
        total = 0
        for line in machine.command("grep virtio /proc/interrupts").splitlines():
            self.assertIn(controller, line)
            total += sum(map(int, re.findall(r" (\d+)(?= )", line.partition(":")[2])))
        return total

    def finish(self, machine):
        self.assertNotRegex(machine.command("dmesg"), SURPRISES)
        machine.send("poweroff\n")
        self.assertEqual(machine.finish(), (0, ""))

    def test_msix(self):
        """What Linux does by itself; and a function level reset, after which all is as before."""
        with boot() as machine:
            answer = machine.command("dmesg | grep -i -e pci -e acpi")
            self.assertIn("MMCONFIG at [mem 0xc0000000-0xc00fffff] reserved", answer)
            self.assertIn("root bus resource [mem 0xd0000000-0xfebfffff window]", answer)
            self.assertIn("root bus resource [mem 0x20000000000-0x2ffffffffff window]", answer)
            self.assertNotRegex(answer, "(?i)bios bug|error|can't|conflict|invalid")
            self.check_rng(machine, "PCI-MSI")

            device = "/sys/bus/pci/devices/0000:00:01.0"
            self.assertIn("flr", machine.command("cat %s/reset_method" % device))
            answer = machine.command("echo 0000:00:01.0 >%s/driver/unbind && "
                                     "echo 1 >%s/reset && echo well" % (device, device))
            self.assertIn("well", answer)
            machine.command("echo 0000:00:01.0 >/sys/bus/pci/drivers/virtio-pci/bind")
            self.check_rng(machine, "PCI-MSI")
            self.finish(machine)

    def test_intx_to_the_ioapic(self):
        with boot("pci=nomsi", "-c", "2") as machine:
            self.check_rng(machine, "IO-APIC")
            self.finish(machine)

    def test_intx_to_the_pic(self):
        with boot("pci=nomsi noapic nolapic") as machine:
            self.check_rng(machine, "XT-PIC")
            self.finish(machine)

    def test_without_acpi(self):
        """By configuration ports and what firmware has left in the configuration."""
        with boot("acpi=off pci=nomsi noapic") as machine:
            self.assertIn("configuration type 1", machine.command("dmesg | grep PCI"))
            self.check_rng(machine, "XT-PIC")
            machine.command("poweroff -f &")


harness.main()
