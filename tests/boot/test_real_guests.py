#!/usr/bin/env python3
"""Other guests from Debian's packages, and other ways to boot: Debian's kernels for i386, with and
without PAE, memtest86+, and the amd64 kernel without ACPI, without APICs and with memory above 4 GiB.

The argument is the group of tests to run (none: all).  tools/real_guests.sh makes the files.
"""
import hashlib
import os
import re
import sys
import unittest

import harness

MEMTEST = os.path.join(harness.GUEST, "memtest86+")
I386_FOLDER = os.path.join(harness.GUEST, "i386")
I386_INITRAMFS = os.path.join(I386_FOLDER, "initramfs.cpio")

# What Linux says at its start that would point to a fault of the machine.
COMPLAINTS = (
    r"\bBUG\b", r"\bWARNING\b", r"\bOops\b", r"Call Trace", r"unchecked MSR access",
    r"ACPI (?:BIOS )?(?:Error|Warning|Exception)", r"Firmware Bug", r"\bunstable\b",
    r"APIC error", r"spurious", r"nobody cared", r"timer doesn't work", r"lockup",
    r"rcu.*stall", r"calibration failed", r"ATKBD|i8042: (?:No controller|Can't)",
    r"ExtINT not setup", r"not listed by the BIOS",
)
# No PIC-only machine has its processor's APIC in use; the kernel says so.
PIC_ONLY = r"boot CPU \(#0\) not listed by the BIOS"


def files(group):
    """What a group needs besides what all boot tests do."""
    table = {
        "I386": [os.path.join(I386_FOLDER, "vmlinuz-686"), I386_INITRAMFS],
        "I386Pae": [os.path.join(I386_FOLDER, "vmlinuz-686-pae"), I386_INITRAMFS],
        "Memtest": [os.path.join(MEMTEST, "x64.bin"), os.path.join(MEMTEST, "ia32.bin")],
    }
    return table.get(group, [])


class Linux(unittest.TestCase):
    def check_pipeline(self, machine):
        """seq, awk, gzip there and back, sha256sum, over data that Python computes too."""
        lines = "".join("%d %d\n" % (i, i * i % 9973) for i in range(1, 5001))
        answer = machine.command("seq 1 5000 | awk '{ print $1, $1 * $1 % 9973 }' |"
                                 " gzip -c | gunzip -c | sha256sum")
        self.assertIn(hashlib.sha256(lines.encode()).hexdigest(), answer)

    def check_floating_point(self, machine):
        """On i386 it is the x87 that adds up, with more digits on the way than Python has."""
        answer = machine.command(
            "awk 'BEGIN { for (i = 1; i <= 500; i++) s += 1 / (i * i); printf \"%.12f\\n\", s }'")
        total = sum(1 / (i * i) for i in range(1, 501))
        self.assertAlmostEqual(float(answer), total, places=11)

    def check_log(self, machine, allowed=()):
        """Nothing in the kernel's log points to a fault of the machine.  The log."""
        log = machine.command("dmesg")
        for line in log.splitlines():
            if any(re.search(pattern, line) for pattern in allowed):
                continue
            for pattern in COMPLAINTS:
                self.assertNotRegex(line, pattern)
        return log

    def check_pci(self, machine):
        """Host bridge and entropy device, whose registers the kernel has found where they are."""
        answer = machine.command("cd /sys/bus/pci/devices; cat */vendor */device */class; "
                                 "head -n 1 0000:00:01.0/resource; cd")
        self.assertEqual(answer.split()[:6],
                         ["0x1b36", "0x1af4", "0x0008", "0x1044", "0x060000", "0x00ff00"])
        start, end, flags = (int(word, 16) for word in answer.split()[6:])
        self.assertTrue(0xd0000000 <= start < end < 0xfec00000)
        self.assertEqual((end + 1 - start, flags & 0x200), (0x4000, 0x200))     # memory

    def power_off(self, machine):
        machine.send("poweroff\n")
        self.assertEqual(machine.finish(), (0, ""))

    def restart(self, machine):
        """The end of a machine without ACPI, which knows no power-off, under --no-reboot."""
        machine.send("reboot -f\n")
        self.assertEqual(machine.finish()[0], 0)


class I386(Linux):
    """Two-level page tables, and a kernel that unpacks itself by the 32-bit boot protocol."""

    def test_686(self):
        kernel, initramfs = files("I386")
        with harness.Machine("-k", kernel, "-i", initramfs, "-a",
                             "console=ttyS0 quiet cryptomgr.notests") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            self.assertEqual(machine.command("uname -m").strip(), "i686")
            self.check_pipeline(machine)
            self.check_floating_point(machine)
            self.check_pci(machine)
            self.check_log(machine)
            self.power_off(machine)


class I386Pae(Linux):
    """PAE with NX and high memory; entered directly."""

    def machine(self, *arguments, append=""):
        kernel, initramfs = files("I386Pae")
        return harness.Machine("--protocol", "vmlinux", "-k", kernel, "-i", initramfs, "-a",
                               "console=ttyS0 quiet cryptomgr.notests " + append, *arguments)

    def test_memory_above_4_gib(self):
        with self.machine("-m", "5G") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            self.assertEqual(machine.command("uname -m").strip(), "i686")
            total = int(machine.command("awk '/MemTotal/ { print $2 }' /proc/meminfo"))
            self.assertGreater(total, 4.8 * 1024 * 1024)
            self.check_pipeline(machine)
            self.check_floating_point(machine)
            log = self.check_log(machine)
            self.assertIn("NX (Execute Disable) protection: active", log)
            self.power_off(machine)

    def test_mp_table(self):
        """The processors and the IOAPIC's wiring come from the MP table."""
        with self.machine("--no-reboot", "-c", "2", append="acpi=off") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            log = self.check_log(machine)
            self.assertIn("MPTABLE: OEM ID: RINGER", log)
            self.assertEqual(machine.command("nproc").strip(), "2")
            answer = machine.command("cat /proc/interrupts")
            self.assertRegex(answer, r"IO-APIC +4-edge +ttyS0")
            self.check_pipeline(machine)
            self.restart(machine)


class Amd64(Linux):
    def test_memory_above_4_gib(self):
        """All of 5 GiB is seen, and pages above 4 GiB hold what is written to them."""
        with harness.linux("-m", "5G") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            total = int(machine.command("awk '/MemTotal/ { print $2 }' /proc/meminfo"))
            self.assertGreater(total, 4.7 * 1024 * 1024)
            ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM",
                                machine.command("grep 'System RAM' /proc/iomem"), re.M)
            size = sum(int(end, 16) + 1 - int(start, 16) for start, end in ranges)
            self.assertGreater(size, (5 << 30) - (1 << 20))
            self.assertGreater(max(int(end, 16) for _, end in ranges), 5 << 30)
            self.check_pipeline(machine)
            self.check_log(machine)
            self.power_off(machine)

    def test_no_acpi_no_apic(self):
        """The 8259s and the 8254 alone.  Linux 6.1 warns where a device can do MSI and it cannot."""
        with harness.linux("--no-reboot", append="acpi=off noapic nolapic pci=nomsi") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            answer = machine.command("cat /proc/interrupts")
            self.assertGreater(int(re.search(r" 0: +(\d+) +XT-PIC +timer", answer).group(1)), 10)
            self.assertRegex(answer, r" 4: +\d+ +XT-PIC +ttyS0")
            self.assertNotRegex(answer, "IO-APIC")
            self.check_pipeline(machine)
            self.check_log(machine, [PIC_ONLY])
            self.restart(machine)

    def test_calibration(self):
        """Without KVM's clock and the deadline timer, the kernel measures its timers itself."""
        with harness.linux(append="nopv lapic=notscdeadline") as machine:
            machine.expect("^" + harness.PROMPT, harness.BOOT_TIME)
            log = self.check_log(machine)
            self.assertNotIn("TSC deadline timer", log)
            source = machine.command(
                "cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
            self.assertEqual(source.strip(), "tsc")
            # Seconds by the guest's timer and by its real-time clock agree.
            answer = machine.command("date +%s; sleep 2; date +%s").split()
            self.assertIn(int(answer[1]) - int(answer[0]), (2, 3, 4))
            self.power_off(machine)


class Memtest(unittest.TestCase):
    """memtest86+: kernels by the Linux boot protocol that use no firmware at all."""

    def run_tests(self, build):
        with harness.Machine("-m", "32M", "-k", os.path.join(MEMTEST, build + ".bin"),
                             "-a", "console=ttyS0,115200") as machine:
            # Its screen, sent as it changes, but only every other second: tests may pass unseen.
            machine.expect(r"#(?:[4-9]|10) +\[", harness.BOOT_TIME)
            machine.expect(r"Status: Testing", harness.COMMAND_TIME)
            machine.expect(r"Errors: ", harness.COMMAND_TIME)
            for count in re.findall(r"Errors: *([^ |\x1b]+)", machine.text):
                self.assertEqual(count, "0")

    def test_x64(self):
        self.run_tests("x64")

    def test_ia32(self):
        self.run_tests("ia32")


GROUPS = ("I386", "I386Pae", "Amd64", "Memtest")
chosen = [name.split(".")[0] for name in sys.argv[1:] if not name.startswith("-")] or GROUPS
missing = [path for group in chosen for path in files(group) if not os.path.exists(path)]
if missing:
    print("skipped: there is no %s; `make check` fetches it where it can" % missing[0])
    sys.exit(77)
harness.main()
