#!/usr/bin/env python3
"""vsock: a Linux guest's connections to Unix sockets of the host, and programs' to the guest."""
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import harness

MIB = 1 << 20
ENGINES = [("-e", "interp"), ("-e", "hybrid", "--unprotected")]
VSOCK = os.environ.get("VSOCK", os.path.join(harness.BUILD, "tests", "boot", "vsock"))


class Listener:
    """A program on the host that listens, and calls serve(connection) for each connection."""

    def __init__(self, path, serve):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(64)
        self.serve = serve
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()


def read_all(connection):
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def resident(pid):
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))


class Vsock(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        self.path = os.path.join(self.top, "socket")
        os.mkdir(os.path.join(self.top, "shared"))
        subprocess.run(["cp", VSOCK, os.path.join(self.top, "shared", "vsock")], check=True)

    def boot(self, *arguments, cid=""):
        machine = harness.linux("--share", os.path.join(self.top, "shared"), "--vsock",
                                self.path + cid, *arguments)
        self.addCleanup(machine.__exit__)
        machine.expect("machine made by Ringer", harness.BOOT_TIME)
        machine.expect("^" + harness.PROMPT)
        machine.command("dmesg -n 1; mkdir -p /mnt; mount -t virtiofs share /mnt; "
                        "cp /mnt/vsock /bin")
        return machine

    def listen(self, port, serve):
        listener = Listener("%s_%d" % (self.path, port), serve)
        self.addCleanup(listener.socket.close)

    def connect(self, port):
        """As a program of the host; returns the socket, or None where the guest refuses."""
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(harness.COMMAND_TIME)
        client.connect(self.path)
        client.sendall(b"CONNECT %d\n" % port)
        answer = b""
        while not answer.endswith(b"\n"):
            byte = client.recv(1)
            if not byte:
                return None
            answer += byte
        self.assertRegex(answer, rb"\AOK [0-9]+\n\Z")
        return client

    def echo(self, client, data):
        """What comes back of data, which is all sent before the sending end is shut."""
        def send():
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        answer = read_all(client)
        sender.join()
        return answer

    def power_off(self, machine):
        self.assertNotRegex(machine.command("dmesg"), "Call Trace|WARNING:|BUG:")
        machine.send("poweroff\n")
        status, errors = machine.finish()
        self.assertEqual((status, errors), (0, ""))
        self.assertFalse(os.path.exists(self.path))

    def check_guest_connects(self, machine):
        """Bytes both ways; the end of each; and nobody there."""
        def serve(client):
            received.append(read_all(client))
            client.sendall(data)
            client.close()

        data, received = random.Random(4).randbytes(2 * MIB), []
        path = os.path.join(self.top, "shared", "data")
        with open(path, "wb") as file:
            file.write(data)
        self.listen(99, serve)
        answer = machine.command("vsock connect 99 </mnt/data >/tmp/data; cmp /tmp/data /mnt/data "
                                 "&& echo same; rm /tmp/data")
        self.assertEqual(answer, "same\n")
        self.assertEqual(received, [data])
        self.assertIn("Connection reset", machine.command("vsock connect 100 </dev/null"))
        os.unlink(path)
        os.unlink(self.path + "_99")

    def check_host_connects(self, machine):
        self.assertIsNone(self.connect(5000))
        machine.command("vsock echo 5000 >/tmp/out & sleep 1")
        clients = [self.connect(5000) for _ in range(8)]
        answers = {}

        def work(i):
            data = random.Random(i).randbytes(300000 + i)
            answers[i] = self.echo(clients[i], data) == data

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, {i: True for i in range(8)})
        machine.command("kill %1; wait")

    def test_both_ways(self):
        for engine in ENGINES:
            with self.subTest(engine=engine):
                machine = self.boot("-c", "2", *engine, cid=",cid=1234")
                self.assertEqual(machine.command("vsock cid"), "1234\n")
                self.check_guest_connects(machine)
                self.check_host_connects(machine)
                self.power_off(machine)

    def test_slow_and_bad_programs(self):
        """Neither who does not read nor who says nonsense costs more than a little memory."""
        machine = self.boot()
        stuck = threading.Event()
        self.listen(7, lambda client: stuck.wait())
        machine.command("vsock echo 5000 >/dev/null & sleep 1")
        before = resident(machine.process.pid)
        machine.command("for i in 1 2 3 4; do dd if=/dev/zero bs=64k count=64 2>/dev/null | "
                        "vsock connect 7 & done; sleep 3")
        client = self.connect(5000)
        client.setblocking(False)
        sent = 0
        for _ in range(100):    # it echoes to somebody who does not read
            try:
                sent += client.send(bytes(65536))
            except BlockingIOError:
                time.sleep(0.02)
        self.assertLess(sent, 4 * MIB)
        self.assertLess(resident(machine.process.pid) - before, 8 * 1024)

        for line in (b"", b"\n", b"CONNECT\n", b"CONNECT x\n", b"CONNECT 99999999999\n",
                     b"CONNECT -1\n", b"GET / HTTP/1.0\r\n\r\n", 100 * b"C"):
            bad = socket.socket(socket.AF_UNIX)
            bad.settimeout(harness.COMMAND_TIME)
            bad.connect(self.path)
            try:
                bad.sendall(line)
                if not line:
                    bad.shutdown(socket.SHUT_WR)
                self.assertEqual(bad.recv(10), b"", line)
            except ConnectionError:
                pass
            bad.close()
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for each in waiting:    # they never say anything
            each.connect(self.path)
        self.assertEqual(self.echo(self.connect(5000), b"well"), b"well")
        stuck.set()
        for each in waiting:
            each.close()
        client.close()
        self.power_off(machine)

    def test_the_path(self):
        """One that a killed run has left is taken over; one that is used is not."""
        machine = self.boot()
        status, output, errors = harness.run("--vsock", self.path)
        self.assertEqual((status, output), (1, ""))
        self.assertEqual(errors, "ringer: vsock '%s': there is something of that name already\n"
                         % self.path)
        os.kill(machine.process.pid, signal.SIGKILL)
        machine.process.wait()
        self.assertTrue(os.path.exists(self.path))
        machine = self.boot()
        self.power_off(machine)

    def test_bad_options(self):
        for arguments, names in [
                (("",), "no path"), ((",cid=3",), "no path"), ((self.path + ",cid=2",), "cid=2:"),
                ((self.path + ",cid=",), "cid=:"), ((self.path + ",cid=4294967295",), "cid="),
                ((self.path + ",cid=3x",), "cid=3x"), ((self.path + ",cid=-5",), "cid=-5"),
                ((100 * "x",), "longer than"), ((self.top + "/none/x",), "No such file"),
                ((self.top,), "something of that name"),
                ((self.path, "--vsock", self.path + "2"), "one socket device"),
                ((self.path, "--icount"), "--icount")]:
            with self.subTest(arguments=arguments):
                status, output, errors = harness.run("--vsock", *arguments)
                self.assertEqual((status, output), (1, ""), errors)
                self.assertRegex(errors, r"\Aringer: [^\n]+\n\Z")
                self.assertIn(names, errors)
                self.assertFalse(os.path.exists(self.path))


harness.main()
