#!/usr/bin/env python3
"""Options, exit statuses, bad input: one line that says what is wrong, and status 1."""
import gzip
import json
import os
import re
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import harness

ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")


def elf64(code, address=0x100000, entry=None, memory_size=None, **changes):
    """A plain ELF64 with one segment; changes are to fields of its headers."""
    offset = ELF_HEADER.size + PROGRAM_HEADER.size
    header = dict(phoff=ELF_HEADER.size, phnum=1, phentsize=PROGRAM_HEADER.size, machine=62)
    program = dict(offset=offset, filesz=len(code))
    for name, value in changes.items():
        (program if name in program else header)[name] = value
    data = ELF_HEADER.pack(b"\x7fELF\2\1\1" + bytes(9), 2, header["machine"], 1,
                           address if entry is None else entry, header["phoff"], 0, 0,
                           ELF_HEADER.size, header["phentsize"], header["phnum"], 0, 0, 0)
    data += PROGRAM_HEADER.pack(1, 7, program["offset"], address, address, program["filesz"],
                                memory_size or len(code), 4096)
    return data + code


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, content):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def assert_mistake(self, *arguments, names=None):
        """Status 1 and one line on standard error, which has `names` in it."""
        status, output, errors = harness.run(*arguments)
        self.assertEqual((status, output), (1, ""), (arguments, errors))
        self.assertRegex(errors, r"\Aringer: [^\n]+\n\Z")
        if names:
            self.assertIn(names, errors)


class Lockstep(Files):
    """Mistakes; that equal engines are equal.  Unequal ones are tests/unit/test_vm_lockstep.c's."""

    def lockstep(self, *arguments):
        result = subprocess.run([harness.RINGER, "lockstep", *arguments], capture_output=True,
                                timeout=120)
        return result.returncode, result.stderr.decode()

    def test_mistakes(self):
        for arguments in [(), ("--engines",), ("--engines", "interp"), ("--engines", ",interp"),
                          ("--engines", "interp,"), ("--engines=interp,interp,interp",),
                          ("--engines", "interp,nothing"), ("--engines", "interp," + "x" * 1000),
                          ("--engines", "interp,interp", "--every", "0"),
                          ("--engines", "interp,interp", "--every", "1x"),
                          ("--engines", "interp,interp", "--every"),
                          ("--engines", "interp,interp", "--cpus", "2"),
                          ("--engines", "interp,interp", "--replay", "x"),
                          ("--engines", "interp,interp", "--record", "x"),
                          ("--engines", "interp,interp", "--gdb", "tcp:127.0.0.1:1"),
                          ("--engines", "interp,interp", "--display"),
                          ("--engines", "interp,interp", "--stats"),
                          ("--engines", "interp,interp", "--trace", "exits"),
                          ("--engines", "interp,interp", "--engine", "interp"),
                          ("--engines", "interp,interp", "--disk", "/dev/null"),
                          ("--engines", "interp,interp", "--net", "user"),
                          ("--engines", "interp,interp", "--every", "99999999999999999999"),
                          ("--engines", "interp,interp", "-k", os.devnull),
                          ("--engines", "interp,interp", "-k", "/nowhere"),
                          ("--engines", "interp,interp", "--nonsense")]:
            status, errors = self.lockstep(*arguments)
            self.assertEqual(status, 1, (arguments, errors))
            self.assertRegex(errors, r"\Aringer: [^\n]+\n\Z")

    def test_needs_unprotected(self):
        status, errors = self.lockstep("--engines", "interp,hybrid")
        if "--unprotected" not in errors:
            self.skipTest("this host has protection keys")
        self.assertEqual(status, 1, errors)
        self.assertRegex(errors, r"\Aringer: [^\n]+\n\Z")

    def test_the_same_engine_twice(self):
        status, errors = self.lockstep("--engines", "interp,interp", "--every", "4294967295")
        self.assertEqual(status, 0, errors)
        self.assertRegex(errors, r"^interp and interp are equal: ")

    def test_equal(self):
        status, errors = self.lockstep("--engines", "interp,interp-nocache", "--every=1000")
        self.assertEqual(status, 0, errors)
        self.assertRegex(errors, r"^interp and interp-nocache are equal: \d+ instructions, "
                                 r"registers at \d+ events, memory \d+ times\n$")

    def test_replay_files(self):
        for content in (b"", b"\x7fELF", b"Ringer record 1\n", b"Ringer record 9\n",
                        b"Ringer record 1\n" + bytes(40), os.urandom(1000)):
            path = self.file("replay", content)
            self.assert_mistake("--replay", path, names="replay file '%s'" % path)
        self.assert_mistake("--replay", self.folder.name, names=self.folder.name)
        self.assert_mistake("--record", "/nowhere/at/all", names="/nowhere/at/all")
        self.assert_mistake("--record", "a", "--replay", "b")


class BadInput(Files):
    def test_options(self):
        table = [
            ("--nonsense",), ("-Z",), ("-k",), ("--memory",), ("kernel",), ("-m", ""), ("-m", "0"),
            ("-m", "-1"), ("-m", "512X"), ("-m", "1.5G"), ("-m", "512MB"), ("-m", "K"),
            ("-m", "99999999999999999999"), ("-m", "17179869184G"), ("-m", "1K"), ("-m", "1000000T"),
            ("-c", "0"), ("-c", "x"), ("-c", "-1"), ("-c", "100000"), ("-e", "nonsense"),
            ("--protocol", "nonsense"), ("--console", "nonsense"), ("--console", "file:"),
            ("--serial2", "stdio"), ("--trace", "nonsense"), ("--stats=/nonexistent/x",),
            ("-i", harness.INITRAMFS), ("--icount=1",), ("--console", "file:/nonexistent/x"),
        ]
        for arguments in table:
            with self.subTest(arguments=arguments):
                self.assert_mistake(*arguments)

    def test_kernels(self):
        with open(harness.KERNEL, "rb") as file:
            good = file.read()
        code = b"\xf4"
        table = {
            "empty": b"",
            "short": b"\x7fELF",
            "text": b"This is no kernel.\n" * 100,
            "zeros": bytes(65536),
            "compressed.gz": gzip.compress(bytes(5000)),
            "truncated-in-header": good[:512],
            "truncated-in-setup": good[:3000],
            "truncated-in-kernel": good[:200000],
            "no-setup-size": good[:0x1f1] + b"\xff" + good[0x1f2:20000],
            "elf-no-segments": elf64(code, phnum=0),
            "elf-many-segments": elf64(code, phnum=65535),
            "elf-headers-outside": elf64(code, phoff=1 << 62),
            "elf-small-headers": elf64(code, phentsize=8),
            "elf-segment-outside": elf64(code, offset=1 << 40),
            "elf-segment-truncated": elf64(code, filesz=4096, memory_size=4096),
            "elf-overflow": elf64(code, address=(1 << 64) - 4096, memory_size=8192),
            "elf-beyond-memory": elf64(code, address=1 << 33),
            "elf-huge": elf64(code, memory_size=1 << 60),
            "elf-other-machine": elf64(code, machine=183),
            "elf-entry-outside": elf64(code, entry=1 << 50),
        }
        for name, content in table.items():
            with self.subTest(name=name):
                self.assert_mistake("-k", self.file(name, content), names=name)
        self.assert_mistake("-k", "/nonexistent/vmlinuz", names="/nonexistent/vmlinuz")
        self.assert_mistake("-k", self.folder.name, names=self.folder.name)
        # A payload that is damaged.
        damaged = bytearray(good)
        for i in range(len(good) // 2, len(good) // 2 + 4096):
            damaged[i] ^= 0x55
        self.assert_mistake("--protocol", "vmlinux", "-k", self.file("damaged", damaged),
                            names="damaged")

    def test_initrds_and_command_lines(self):
        kernel = ("-k", harness.KERNEL)
        self.assert_mistake(*kernel, "-i", "/nonexistent/initrd", names="/nonexistent/initrd")
        large = os.path.join(self.folder.name, "large")
        with open(large, "wb") as file:
            file.truncate(600 << 20)
        self.assert_mistake(*kernel, "-i", large, names="large")
        self.assert_mistake(*kernel, "-m", "16M", names="vmlinuz")
        self.assert_mistake(*kernel, "-a", "x" * 5000)
        self.assert_mistake(*kernel, "--protocol", "multiboot",
                            names="vmlinuz: is no Multiboot kernel but a Linux bzImage")


class Statuses(Files):
    def test_built_in_guest(self):
        status, output, errors = harness.run()
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output, "(?i)hello")
        self.assertIn("Ringer", output)

    def test_without_anything(self):
        """No standard input, no standard output: the guest runs all the same."""
        result = subprocess.run([harness.RINGER, "run"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        command = "exec %s run <&- >&-" % harness.RINGER
        result = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_output_that_fails(self):
        """A guest whose output nobody takes is ended, though it would go on for ever."""
        # mov dx, 0x3f8; l: mov al, 'A'; out dx, al; mov al, newline; out dx, al; jmp l
        code = b"\x66\xba\xf8\x03\xb0A\xee\xb0\n\xee\xeb\xf8"
        command = [harness.RINGER, "run", "-k", self.file("talker", elf64(code))]
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=writer,
                                stderr=subprocess.PIPE, timeout=60)
        os.close(writer)
        self.assertEqual((result.returncode, result.stderr), (128 + signal.SIGPIPE, b""))
        with open("/dev/full", "wb") as full:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=full,
                                    stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, rb"\Aringer: [^\n]+No space left[^\n]*\n\Z")

    def test_slow_output(self):
        """Not a byte is lost when nobody reads for a while."""
        expected = harness.run()[1]
        with harness.Machine() as machine:
            time.sleep(1)
            machine.finish()
            self.assertEqual(len(machine.raw.decode("latin1").splitlines()),
                             len(expected.splitlines()))

    def test_debug_exit(self):
        # mov $0x21, %al; out %al, $0xf4; hlt
        kernel = self.file("exit", elf64(b"\xb0\x21\xe6\xf4\xf4"))
        status, _, errors = harness.run("--debug-exit", "-k", kernel)
        self.assertEqual((status, errors), (0x43, ""))
        # mov $0x80000001, %eax; out %eax, %dx (0xf4)
        kernel = self.file("exit", elf64(b"\xb8\x01\0\0\x80\xba\xf4\0\0\0\xef\xf4"))
        self.assertEqual(harness.run("--debug-exit", "-k", kernel)[0], 3)

    def test_debug_console(self):
        # out 'H', 'i' to 0xe9, then debug exit with 0
        code = b"\xb0H\xe6\xe9\xb0i\xe6\xe9\x31\xc0\xe6\xf4\xf4"
        kernel = self.file("e9", elf64(code))
        status, _, errors = harness.run("--debug-exit", "--debug-console", "-k", kernel)
        self.assertEqual((status, errors), (1, "Hi"))
        path = os.path.join(self.folder.name, "log")
        harness.run("--debug-exit", "--debug-console=" + path, "-k", kernel)
        with open(path) as file:
            self.assertEqual(file.read(), "Hi")

    def test_triple_fault(self):
        # lidt of an empty table, then ud2
        kernel = self.file("triple", elf64(b"\x48\x31\xc0\x50\x50\x0f\x01\x1c\x24\x0f\x0b"))
        status, _, errors = harness.run("-k", kernel)
        self.assertEqual(status, 124)
        self.assertIn("triple fault", errors)
        self.assertRegex(errors, "RIP=[0-9a-f]{16}")
        self.assertIn("ud2", errors)

    def test_garbage_and_nowhere(self):
        """Code that is garbage, and a jump to nowhere, end; they do not hang."""
        for name, code in {
            "garbage": bytes((i * 167 + 13) & 0xff for i in range(4096)),
            "nowhere": b"\x48\xb8\0\0\0\0\0\0\0\x80\xff\xe0",
            "outside": b"\x48\xb8\0\0\0\xc0\0\0\0\0\xff\xe0",
        }.items():
            with self.subTest(name=name):
                with harness.Machine("-k", self.file(name, elf64(code, memory_size=65536))) as m:
                    try:
                        status = m.finish(1)[0]
                        self.assertIn(status, (0, 124))
                    except AssertionError:  # it loops, as a PC would
                        m.process.terminate()
                        self.assertEqual(m.finish(10)[0], 128 + 15)

    def test_every_port(self):
        """Writes to every port: no crash of Ringer's.  At 2 MiB: port 0x92 gates A20, too."""
        # xor edx,edx; l: mov eax,edx; out dx,al; out dx,ax; out dx,eax; in al,dx; inc dx; jnz l;
        # then ACPI's power-off, if there was no end before
        code = (b"\x31\xd2\x89\xd0\xee\x66\xef\xef\xec\x66\xff\xc2\x75\xf4"
                b"\x66\xb8\x00\x34\x66\xba\x04\x06\x66\xef\xeb\xfe")
        status, _, errors = harness.run("--no-reboot", "-k", self.file("ports", elf64(code, 0x200000)))
        self.assertEqual((status, errors), (0, ""))

    def test_stats(self):
        path = os.path.join(self.folder.name, "stats")
        self.assertEqual(harness.run("--stats=" + path)[0], 0)
        with open(path) as file:
            stats = json.load(file)
        self.assertGreater(stats["instructions"], 1000)
        self.assertIn("exits", stats)
        self.assertIn("faults", stats)
        self.assertLess(stats["resident_bytes"], 64 << 20)

    def test_icount_repeats(self):
        """Two runs on virtual time are the same to the last bit."""
        runs = []
        for _ in range(2):
            path = os.path.join(self.folder.name, "stats")
            output = harness.run("--icount", "--stats=" + path)[1]
            with open(path) as file:
                runs.append((output, json.load(file)["instructions"]))
        self.assertEqual(*runs)

    def test_serial_files(self):
        path = os.path.join(self.folder.name, "com1")
        status, output, _ = harness.run("--console", "file:" + path)
        self.assertEqual((status, output), (0, ""))
        with open(path, "rb") as file:
            self.assertRegex(file.read(), b"(?i)hello")


class Classify(Files):
    def classify(self, *arguments):
        result = subprocess.run([harness.RINGER, "classify", *arguments], capture_output=True,
                                text=True, timeout=120)
        return result.returncode, result.stdout, result.stderr

    def test_mistakes(self):
        for arguments in (("--nonsense",), ("--html",), ("--html", "/nonexistent/x"),
                          ("--json", "SGDT")):
            with self.subTest(arguments=arguments):
                status, output, errors = self.classify(*arguments)
                self.assertEqual((status, output), (1, ""))
                self.assertRegex(errors, r"\Aringer: [^\n]+\n\Z")

    def test_json_and_page(self):
        page = os.path.join(self.folder.name, "page.html")
        status, output, errors = self.classify("--json", "--html", page)
        self.assertEqual((status, errors), (0, ""))
        found = json.loads(output)
        by_name = {i["name"]: i for i in found["instructions"]}
        self.assertEqual(by_name["SGDT"]["32"]["classes"], ["location"])
        self.assertEqual(by_name["SGDT"]["32"]["depends"], ["GDTR base", "GDTR limit"])
        self.assertEqual(by_name["ADD"]["64"]["classes"], [])
        self.assertIsNone(by_name["LDS"]["64"])
        self.assertEqual([l["found"] for l in found["lists"]], [18, 19])
        with open(page) as file:
            text = file.read()
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
        self.assertEqual(json.loads(data[1])["variants"], found["variants"])
        self.assertNotRegex(text, r"""(src|href)=|@import|url\(""")  # needs nothing else

    def test_text(self):
        status, output, errors = self.classify()
        self.assertEqual((status, errors), (0, ""))
        self.assertLessEqual(max(map(len, output.splitlines())), 80)
        self.assertRegex(output, r"(?m)^SGDT +---L- umip")

    def test_single_instructions(self):
        status, output, errors = self.classify("popf", "NONSENSE")
        self.assertEqual((status, errors), (1, "ringer: there is no instruction NONSENSE\n"))
        self.assertIn("control-sensitive", output)
        self.assertNotIn("privileged", output)


class Help(unittest.TestCase):
    def test_help_fits_a_screen(self):
        status, output, _ = harness.run("--help")
        lines = output.splitlines()
        self.assertEqual(status, 0)
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_manual_and_completion_know_all_options(self):
        names = set(re.findall(r"--[a-z0-9-]+", harness.run("--help")[1]))
        words = subprocess.run([harness.RINGER, "--option-words"], capture_output=True, text=True)
        self.assertLessEqual(names, set(re.findall(r"(?m)^--[a-z0-9-]+", words.stdout)))
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(os.path.join(root, "docs", "ringer.1")) as file:
            manual = file.read().replace("\\-", "-")
        for name in names:
            self.assertIn(name, manual)

    def test_version(self):
        for arguments in (["--version"], ["run", "--version"]):
            result = subprocess.run([harness.RINGER, *arguments], capture_output=True, text=True)
            self.assertRegex(result.stdout, r"^ringer \d+\.\d+\.\d+\n$")


harness.main()
