#!/usr/bin/env python3
"""Ringer needs no privileges: it runs as nobody, in a plain chroot's worth of rights, and under a seccomp
filter that refuses what a container's default refuses."""
import ctypes
import os
import struct
import subprocess
import sys
import unittest

import guest

NOBODY = 65534

# Refused with EPERM, by the numbers of x86-64: what the default profile of Docker leaves out.
REFUSED = {
    "acct": 163, "add_key": 248, "bpf": 321, "clock_adjtime": 305, "clock_settime": 227,
    "create_module": 174, "delete_module": 176, "finit_module": 313, "get_kernel_syms": 177,
    "get_mempolicy": 239, "init_module": 175, "ioperm": 173, "iopl": 172, "kcmp": 312,
    "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "mbind": 237,
    "mount": 165, "move_pages": 279, "name_to_handle_at": 303, "nfsservctl": 180,
    "open_by_handle_at": 304, "perf_event_open": 298, "pivot_root": 155,
    "process_vm_readv": 310, "process_vm_writev": 311, "quotactl": 179, "reboot": 169,
    "request_key": 249, "set_mempolicy": 238, "setns": 308, "settimeofday": 164, "swapoff": 168,
    "swapon": 167, "sysfs": 139, "_sysctl": 156, "umount2": 166, "unshare": 272, "uselib": 134,
    "userfaultfd": 323, "ustat": 136, "vhangup": 153, "vmsplice": 278, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "migrate_pages": 256, "syslog": 103, "chroot": 161, "sethostname": 170,
}
CLONE, CLONE3, PERSONALITY = 56, 435, 135
CLONE_NEW = 0x7e020000      # all the flags for new namespaces
PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xffffffff)
AUDIT_ARCH_X86_64 = 0xc000003e
EPERM, ENOSYS = 1, 38
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO, KILL = 0x7fff0000, 0x00050000, 0x80000000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENT_0 = 0, 4, 16


def filter_program():
    rows = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, AUDIT_ARCH_X86_64), (RETURN, 0, 0, KILL),
            (LOAD, 0, 0, NUMBER)]
    for number in REFUSED.values():
        rows += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | EPERM)]
    # clone3's flags cannot be seen by a filter: the C library then falls back to clone.
    rows += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, ERRNO | ENOSYS)]
    rows += [(EQUAL, 0, 4, CLONE), (LOAD, 0, 0, ARGUMENT_0), (ANY_BIT, 0, 1, CLONE_NEW),
             (RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW)]
    count = len(PERSONALITIES)
    rows += [(EQUAL, 0, count + 3, PERSONALITY), (LOAD, 0, 0, ARGUMENT_0)]
    rows += [(EQUAL, count - i, 0, value) for i, value in enumerate(PERSONALITIES)]
    rows += [(RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("<HBBI", *row) for row in rows)


def confine():
    """In the child, before it becomes ringer."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = filter_program()
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("<H6xQ", len(program) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(header, len(header))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, pointer, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def become_nobody():
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def nobody_cannot_execute():
    """The program may be in a folder that others may not enter."""
    def probe():
        become_nobody()
    try:
        subprocess.run([guest.RINGER, "--version"], preexec_fn=probe, check=True,
                       stdout=subprocess.DEVNULL)
    except (PermissionError, subprocess.SubprocessError):
        return True
    return False


class Privileges(unittest.TestCase):
    def check_hello(self, preexec, *arguments):
        with guest.Run(*arguments, preexec=preexec) as machine:
            status = machine.wait(30)
            self.assertEqual(status, 0, machine.text())
            self.assertIn("Hello", machine.text())
            self.assertIsNone(machine.leftovers())

    @unittest.skipUnless(os.geteuid() == 0, "only root can become nobody; this is not root already")
    def test_nobody(self):
        if nobody_cannot_execute():
            self.skipTest("nobody may not enter the folder of " + guest.RINGER)
        self.check_hello(become_nobody)
        self.check_hello(become_nobody, "--icount")

    def test_filter_refuses(self):
        """The filter does what it should: else the next test would say nothing."""
        script = ("import ctypes, sys; c = ctypes.CDLL(None, use_errno=True);"
                  "r = c.unshare(0x10000000); sys.exit(0 if r == -1 and ctypes.get_errno() == 1 else 1)")
        result = subprocess.run([sys.executable, "-c", script], preexec_fn=confine)
        self.assertEqual(result.returncode, 0)

    def test_container_filter(self):
        self.check_hello(confine)
        self.check_hello(confine, "--icount")

    def test_container_and_nobody(self):
        if os.geteuid() != 0 or nobody_cannot_execute():
            self.skipTest("needs root, and a program that nobody may execute")

        def both():
            become_nobody()
            confine()
        self.check_hello(both)


unittest.main(verbosity=2)
