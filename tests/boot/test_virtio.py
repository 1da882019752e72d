#!/usr/bin/env python3
"""Linux finds the devices on the PCI bus, by each way that interrupts can take."""
import os
import re
import tempfile
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

    def test_function_level_resets(self):
        """Each device is taken from its driver, reset, and given back: it works as before."""
        with tempfile.TemporaryDirectory() as folder:
            disk, said = os.path.join(folder, "disk"), os.path.join(folder, "said")
            with open(disk, "wb") as file:
                file.write(b"Ringer's disk.\n" + bytes(1 << 20))
            with boot("", "--disk", disk, "--balloon=300M", "--hvc", "file:" + said,
                      "-n", "user") as machine:
                machine.command("echo before >/dev/hvc0")
                count = machine.command(
                    "cd /sys/bus/pci/drivers/virtio-pci; for d in 0000:*; do echo $d >unbind; "
                    "echo 1 >../../devices/$d/reset || echo failed; echo $d >bind; done; "
                    "ls -d 0000:* | wc -l; cd")
                self.assertEqual(count.strip(), "5")
                self.check_rng(machine, "PCI-MSI")
                self.assertIn("Ringer's disk.", machine.command("head -n 1 /dev/vda"))
                machine.command("echo after >/dev/hvc0")
                self.assertIn("10.0.2.2", machine.command(
                    "ip link set eth0 up; udhcpc -i eth0 -n -q 2>&1 | grep obtained; "
                    "echo ok", harness.COMMAND_TIME))
                machine.command("while [ $(awk '/MemFree/ { print $2 }' /proc/meminfo) -gt "
                                "300000 ]; do sleep 0.2; done")
                self.finish(machine)
                with open(said, encoding="latin1") as file:
                    self.assertEqual(file.read().split(), ["before", "after"])

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
