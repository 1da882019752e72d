#!/usr/bin/env python3
"""The remote protocol spoken well, badly and not at all: the door answers, and the guest runs on."""
import os
import random
import re
import socket
import subprocess
import tempfile
import time
import unittest

import door
from door import Client, Door

GOOD = 33  # the exit status of a test guest that found everything as it should be
SPIN = ("--debug-exit", "-k", door.path("debuggee64"), "-a", "spin rounds=1")
ROUNDS = ("--debug-exit", "-k", door.path("debuggee64"), "-a", "rounds=1")


def refusal(*arguments):
    """The status and the words of a `ringer run` that does not begin."""
    result = subprocess.run([door.RINGER, "run", *arguments], capture_output=True, text=True,
                            timeout=door.PATIENCE, stdin=subprocess.DEVNULL)
    return result.returncode, result.stderr


def go(client):
    """Lets the guest go, and hears of its end."""
    client.send("c")
    return client.receive()


class Protocol(unittest.TestCase):
    def test_packets(self):
        with Door(*ROUNDS) as machine, Client(machine.socket) as client:
            self.assertIn("PacketSize=4000", client.ask("qSupported:swbreak+;hwbreak+"))
            self.assertRegex(client.ask("?"), r"^T05thread:1;")
            self.assertEqual(client.ask("qC"), "QC1")
            self.assertEqual(client.ask("qfThreadInfo"), "m1")
            self.assertEqual(client.ask("qsThreadInfo"), "l")
            self.assertEqual(client.ask("qAttached"), "1")
            self.assertEqual(client.ask("vMustReplyEmpty"), "")
            self.assertEqual(client.ask("qCRC:0,10"), "")
            self.assertEqual(client.ask("T1"), "OK")
            self.assertEqual(client.ask("Hg0"), "OK")
            self.assertEqual(client.ask("Hc-1"), "OK")
            self.assertEqual(client.ask("X200000,0:"), "OK")
            before = client.ask("m200000,4")
            self.assertEqual(client.ask(b"X200000,4:\x01}\x03}\x5d\x04"), "OK")
            self.assertEqual(client.ask("m200000,4"), "01237d04")
            self.assertEqual(client.ask("M200000,4:" + before), "OK")
            registers = client.ask("g")
            self.assertEqual(client.ask("G" + registers), "OK")
            self.assertEqual(client.ask("g"), registers)
            self.assertEqual(client.ask("P0=efcdab8967452301"), "OK")
            self.assertEqual(client.ask("p0"), "efcdab8967452301")
            # A line of the monitor, as hexadecimal.
            self.assertIn("the guest is stopped",
                          bytes.fromhex(client.ask("qRcmd," + b"info status".hex())).decode())
            self.assertEqual(client.ask("QStartNoAckMode"), "OK")
            self.assertEqual(go(client), "W21")
            self.assertEqual(machine.finish(), GOOD)

    def test_the_description_in_pieces(self):
        with Door(*ROUNDS) as machine, Client(machine.socket) as client:
            text, offset = "", 0
            while True:
                piece = client.ask("qXfer:features:read:target.xml:%x,3f0" % offset)
                text += piece[1:]
                offset += len(piece) - 1
                if piece[0] == "l":
                    break
            self.assertTrue(text.startswith("<?xml") and text.endswith("</target>\n"))
            bits = sum(int(b) for b in re.findall(r'<reg [^>]*bitsize="(\d+)"', text))
            self.assertEqual(len(client.ask("g")), bits / 4)
            self.assertEqual(client.ask("qXfer:features:read:other.xml:0,100"), "E00")
            self.assertEqual(client.ask("qXfer:features:read:target.xml:fffff,100"), "E22")

    def test_errors(self):
        with Door(*ROUNDS) as machine, Client(machine.socket) as client:
            for packet, answer in (
                    ("m", "E22"), ("m0", "E22"), ("m0,", "E22"), ("mx,1", "E22"),
                    ("m11111111111111111,1", "E22"), ("me0000000,1", "E14"),
                    ("mffffffffffffffff,2", "E14"), ("M200000,4:00", "E22"), ("M200000,1:zz", "E22"),
                    ("Me0000000,1:00", "E14"), ("X200000,8:abc", "E22"), ("p999", "E22"),
                    ("p", "E22"), ("P0=12", "E22"), ("P0", "E22"), ("P12=23000000", "E22"),
                    ("Gxx", "E22"), ("G" + "0" * 12000, "E22"), ("T9", "E22"), ("Hg9", "E22"),
                    ("Hx1", "E22"), ("H", "E22"), ("Z9,0,1", "E22"), ("Z0,0", "E22"), ("Z", "E22"),
                    ("Z2,100,0", "E22"), ("Z2,ffffffffffffffff,4", "E22"), ("z0,1234,1", "OK"),
                    ("vCont;", "E22"), ("vCont;q", "E22"), ("vCont;s:9", "E22"),
                    ("vCont;r1", "E22"), ("C", "E22"), ("czz", "E22"), ("qThreadExtraInfo,7", "E22"),
                    ("qRcmd,1", "E22"), ("qRcmd," + "41" * 5000, "E22"),
                    ("a" * 0x4001, "E07")):
                self.assertEqual(client.ask(packet), answer, packet)
            client.raw(b"$g#00")
            self.assertEqual(client.socket.recv(1)[-1:], b"-")
            self.assertEqual(client.ask("QStartNoAckMode"), "OK")
            self.assertEqual(go(client), "W21")

    def test_many_breakpoints(self):
        with Door(*ROUNDS) as machine, Client(machine.socket) as client:
            for start in range(0, 4096, 64): # as many at a time as nobody has to wait for
                for i in range(start, start + 64):
                    client.send("Z0,%x,1" % (0x10000000 + i))
                for i in range(64):
                    self.assertEqual(client.receive(), "OK")
            self.assertEqual(client.ask("Z1,20000000,1"), "E28")
            self.assertEqual(client.ask("Z1,10000005,1"), "OK") # the same to the machine
            self.assertEqual(client.ask("Z1,10000005,1"), "OK")
            self.assertEqual(client.ask("z0,10000005,1"), "OK")
            self.assertEqual(client.ask("Z1,20000000,1"), "E28")
            self.assertEqual(client.ask("z1,10000005,1"), "OK")
            self.assertEqual(client.ask("Z1,20000000,1"), "OK")
            self.assertEqual(go(client), "W21")

    def test_a_reset_keeps_the_debugger(self):
        with Door("--debug-exit", "-k", door.path("exits"), "-a", "cf9") as machine, \
                Client(machine.socket) as client:
            start = client.ask("p10") # rip
            address = int.from_bytes(bytes.fromhex(start), "little")
            self.assertEqual(client.ask("Z1,%x,1" % address), "OK")
            for _ in range(2):
                client.send("c")
                stop = client.receive()
                self.assertRegex(stop, "^T05thread:1;")
                self.assertEqual(client.ask("p10"), start)
            self.assertEqual(client.ask("vKill;1"), "OK")
            self.assertEqual(machine.finish(), 0)

    def test_a_triple_fault_is_told(self):
        with Door("--debug-exit", "-k", door.path("exits"), "-a", "triple") as machine, \
                Client(machine.socket) as client:
            self.assertEqual(go(client), "X06")
            self.assertEqual(machine.finish(), 124)


class Clients(unittest.TestCase):
    def released(self, machine):
        """A well-behaved client still finds the guest, and it runs to its end."""
        with Client(machine.socket) as client:
            self.assertRegex(client.ask("?"), "^T05")
            # Out of its loop: RIP is in spin(), before a test of `released`, which is set.
            client.ask("qSupported")
            released = int(subprocess.run(
                "nm %s | awk '$3 == \"released\" {print $1}'" % door.path("debuggee64"), shell=True,
                capture_output=True, text=True).stdout, 16)
            self.assertEqual(client.ask("M%x,4:01000000" % released), "OK")
            self.assertEqual(go(client), "W21")
        self.assertEqual(machine.finish(), GOOD)

    def test_one_at_a_time(self):
        with Door(*SPIN, wait=False) as machine:
            with Client(machine.socket) as client:
                self.assertEqual(client.ask("qC"), "QC1")
                with Client(machine.socket) as other:
                    self.assertTrue(other.is_closed())
                self.assertEqual(client.ask("qC"), "QC1")
            self.released(machine)

    def test_one_that_does_not_read(self):
        with Door(*SPIN, wait=False) as machine:
            with Client(machine.socket) as client:
                try:
                    for _ in range(2000):
                        client.send("m200000,2000")
                except (BrokenPipeError, ConnectionResetError):
                    pass
                time.sleep(0.2)
            self.released(machine)

    def test_one_that_goes_in_the_midst(self):
        with Door(*SPIN, wait=False) as machine:
            for last in (b"", b"$", b"$g#", b"$m200000,4000#aa", b"$Z2,200000,1000#00", b"\x03"):
                with Client(machine.socket) as client:
                    client.ask("Z0,200000,1")
                    client.raw(last)
            with Client(machine.socket) as client: # its guest runs as it goes
                client.send("c")
            self.released(machine)

    def test_one_that_waits_does_not_let_it_go(self):
        with Door(*ROUNDS) as machine:
            for _ in range(3):
                with Client(machine.socket) as client:
                    rip = client.ask("p10")
            self.assertEqual(machine.text().count("ok"), 0)
            with Client(machine.socket) as client:
                self.assertEqual(client.ask("p10"), rip)
                self.assertEqual(client.ask("D"), "OK")
            self.assertEqual(machine.finish(), GOOD)

    def garbage(self, seed):
        """Bytes, frames of bytes, and frames that look like packets."""
        dice = random.Random(seed)
        words = ["m", "M", "g", "G", "p", "P", "Z", "z", "qXfer:features:read:", "qRcmd,", "vCont;",
                 "H", "T", "X", "s", "c", "?", "qSupported:", "vCont?", "D;", "C", "S"]
        letters = "0123456789abcdef,;:=-zZ{}* \\"
        for _ in range(150):
            kind = dice.randrange(4)
            if kind == 0:
                yield dice.randbytes(dice.randrange(200))
            else:
                body = "".join(dice.choice(letters) for _ in range(dice.randrange(40)))
                payload = (dice.choice(words) if kind > 1 else "") + body
                if payload[:1] in "DMXPGcCsS" and kind == 3: # those change the guest: it need not live
                    payload = "m" + payload
                yield b"$%s#%02x" % (payload.encode(), sum(payload.encode()) % 256)

    def test_garbage(self):
        """A guest in its loop; nothing here writes into it, but for registers that it does not use."""
        with Door("--debug-exit", "-k", door.path("debuggee64"), "-a", "spin rounds=1",
                  wait=False) as machine:
            for seed in range(12):
                with Client(machine.socket) as client:
                    try:
                        for data in self.garbage(seed):
                            if not re.match(rb"\$[DMXPGcCsSv]", data):
                                client.raw(data)
                        client.raw(b"\x03")
                    except (BrokenPipeError, ConnectionResetError):
                        pass
            self.released(machine)

    def test_garbage_that_writes(self):
        """The guest may break; Ringer may not: a signal ends it as ever."""
        for arguments in (("--icount",), ()):
            with Door(*arguments, *SPIN, wait=False) as machine:
                for seed in range(100, 112):
                    with Client(machine.socket) as client:
                        try:
                            for data in self.garbage(seed):
                                client.raw(data)
                        except (BrokenPipeError, ConnectionResetError):
                            pass
                machine.process.terminate()
                self.assertIn(machine.finish(), (GOOD, 124, 128 + 15), machine.text())
                self.assertNotIn("ringer-cpu:", machine.text())
                self.assertNotIn("died", machine.text())


class Places(unittest.TestCase):
    def test_tcp(self):
        for place, family, host in (("127.0.0.1:0", socket.AF_INET, "127.0.0.1"),
                                    ("localhost:0", socket.AF_INET, "127.0.0.1"),
                                    ("[::1]:0", socket.AF_INET6, "::1")):
            process = subprocess.Popen([door.RINGER, "run", "--gdb", "tcp:%s,wait" % place, *ROUNDS],
                                       stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                       stdin=subprocess.DEVNULL, text=True)
            line = process.stderr.readline()
            if family == socket.AF_INET6 and "cannot listen" in line:
                process.wait()
                process.stderr.close()
                continue # a host without IPv6
            match = re.fullmatch(r"ringer: gdb connects to tcp:(.*):(\d+); the guest waits for it\s*",
                                 line)
            self.assertTrue(match, line)
            port = int(match.group(2))
            status, words = refusal("--gdb", "tcp:127.0.0.1:%d" % port)
            if family == socket.AF_INET:
                self.assertEqual(status, 1)
                self.assertRegex(words, r"^ringer: --gdb: cannot listen at tcp:127.0.0.1:\d+: "
                                        r"Address already in use\n$")
            with Client((host, port)) as client:
                self.assertEqual(client.ask("qC"), "QC1")
                self.assertEqual(go(client), "W21")
            self.assertEqual(process.wait(door.PATIENCE), GOOD)
            process.stderr.close()

    def test_what_is_no_place(self):
        for place in ("", "unix:", "tcp:", "tcp:0.0.0.0:1234", "tcp:192.168.1.1:1234", "tcp:1234",
                      "tcp:127.0.0.1:", "tcp:127.0.0.1:65536", "tcp:127.0.0.1:12x", "tcp:host:1",
                      "udp:127.0.0.1:1", "unix:" + "x" * 108, ",wait", "tcp:[::]:1"):
            status, words = refusal("--gdb", place)
            self.assertEqual(status, 1, place)
            self.assertRegex(words, r"^ringer: --gdb '.*\n$")

    def test_sockets(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            self.assertRegex(refusal("--gdb", "unix:%s/no/s" % folder)[1], "No such file")
            with open(path, "w"):
                self.assertRegex(refusal("--gdb", "unix:" + path)[1], "Address already in use")
            self.assertTrue(os.path.exists(path)) # it is not ours
            os.unlink(path)
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(path)
            with subprocess.Popen([door.RINGER, "run", "--gdb", "unix:" + path, *ROUNDS],
                                  stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
                self.assertEqual(process.wait(door.PATIENCE), GOOD)
            self.assertFalse(os.path.exists(path))


unittest.main(verbosity=2)
