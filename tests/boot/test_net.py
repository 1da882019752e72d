#!/usr/bin/env python3
"""Networks: DHCP, names, both directions through libslirp and passt, bad options, replay."""
import hashlib
import http.server
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import harness

MIB = 1 << 20
SCRIPT = ("printf '#!/bin/sh\\n[ $1 = bound ] || exit 0\\nip addr add $ip/$mask dev $interface\\n"
          "ip route add default via $router\\necho nameserver $dns >/etc/resolv.conf\\n' >/tmp/bound; "
          "chmod +x /tmp/bound; ip link set lo up; ip link set eth0 up; "
          "udhcpc -i eth0 -s /tmp/bound -q -n -t 10 -T 1 2>&1; echo end")
CONTENT = random.Random(7).randbytes(3 * MIB)
DIGEST = hashlib.md5(CONTENT).hexdigest()


def boot(*arguments, append=""):
    machine = harness.linux(*arguments, append=append)
    machine.expect("machine made by Ringer", harness.BOOT_TIME)
    machine.expect("^" + harness.PROMPT)
    machine.command("dmesg -n 1")
    return machine


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server(http.server.BaseHTTPRequestHandler):
    """Gives CONTENT, and takes what it is given."""
    taken = []

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append(hashlib.md5(body).hexdigest())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Net(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def power_off(self, machine):
        self.assertNotRegex(machine.command("dmesg"), "Call Trace|WARNING:|rx error")
        machine.send("poweroff\n")
        self.assertEqual(machine.finish(), (0, ""))

    def get(self, machine, host):
        answer = machine.command("wget -qO- http://%s:%d/ | md5sum" % (host, self.port))
        self.assertEqual(answer.split()[0], DIGEST)

    def post(self, machine, host):
        """The other direction: 2 MiB, of which the guest tells the sum, too."""
        Server.taken.clear()
        answer = machine.command(
            "cat /bin/busybox /bin/busybox | head -c %u >/tmp/f; md5sum </tmp/f; "
            "(printf 'POST / HTTP/1.0\\r\\nContent-Length: %u\\r\\n\\r\\n'; cat /tmp/f) | "
            "nc %s %u >/dev/null" % (2 * MIB, 2 * MIB, host, self.port))
        self.assertEqual(Server.taken, [answer.split()[0]])

    def serve(self, machine, port):
        """The guest serves a file, which we get through a forwarded port."""
        machine.command("mkdir -p /tmp/www; cp /bin/busybox /tmp/www/f; httpd -p 80 -h /tmp/www")
        wanted = machine.command("md5sum </bin/busybox").split()[0]
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
                s.sendall(b"GET /f HTTP/1.0\r\n\r\n")
                body = b"".join(iter(lambda: s.recv(65536), b"")).partition(b"\r\n\r\n")[2]
            self.assertEqual(hashlib.md5(body).hexdigest(), wanted)

    def refused_datagrams(self, machine):
        """Those that came to a port of the guest's where nobody listens."""
        names, values = machine.command("grep Udp: /proc/net/snmp").splitlines()
        return int(values.split()[names.split().index("NoPorts")])

    def fetch_by_udp(self, machine):
        """A file of one block by TFTP."""
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            s.settimeout(60)

            def serve():
                request, client = s.recvfrom(2000)
                if request[:2] == b"\0\1":
                    s.sendto(b"\0\3\0\1there and back\n", client)

            thread = threading.Thread(target=serve)
            thread.start()
            answer = machine.command("tftp -g -r x -l - 10.0.2.2 %u" % s.getsockname()[1])
            thread.join()
            self.assertIn("there and back", answer)

    def test_user(self):
        tcp, udp = free_port(), free_port()
        with boot("-n", "user,hostfwd=tcp:127.0.0.1:%u-:80,hostfwd=udp:127.0.0.1:%u-:9,"
                  "hostname=guest" % (tcp, udp)) as machine:
            answer = machine.command(SCRIPT)
            self.assertIn("lease of 10.0.2.15 obtained from 10.0.2.2", answer)
            answer = machine.command("cat /sys/class/net/eth0/mtu /sys/class/net/eth0/address "
                                     "/etc/resolv.conf")
            self.assertEqual(answer.split(), ["65520", "52:54:00:12:34:56", "nameserver", "10.0.2.3"])
            self.get(machine, "10.0.2.2")
            self.post(machine, "10.0.2.2")
            self.serve(machine, tcp)
            with socket.socket(type=socket.SOCK_DGRAM) as s:
                before = self.refused_datagrams(machine)
                s.sendto(b"for nobody", ("127.0.0.1", udp))
                machine.command("sleep 1")
                self.assertEqual(self.refused_datagrams(machine), before + 1)
            self.fetch_by_udp(machine)
            self.assertIn(" 0% packet loss", machine.command("ping -c 2 10.0.2.2"))
            machine.command("killall httpd")
            self.power_off(machine)

    def test_usual_mtu(self):
        """With it the guest leaves it to its card to cut what it sends; two cards, two vCPUs."""
        with boot("-c", "2", "-n", "user,mtu=1500,mac=02:00:00:00:00:09,net=192.168.7.0/24", "-n",
                  "user,restrict=on") as machine:
            answer = machine.command(SCRIPT)
            self.assertIn("lease of 192.168.7.15 obtained from 192.168.7.2", answer)
            answer = machine.command("cat /sys/class/net/eth?/mtu /sys/class/net/eth?/address")
            self.assertEqual(answer.split(),
                             ["1500", "65520", "02:00:00:00:00:09", "52:54:00:12:34:57"])
            self.get(machine, "192.168.7.2")
            self.post(machine, "192.168.7.2")
            machine.command("ip link set eth0 down; ip addr flush dev eth0")
            answer = machine.command(SCRIPT.replace("eth0", "eth1"))
            self.assertIn("lease of 10.0.2.15 obtained from 10.0.2.2", answer)
            answer = machine.command("wget -O- http://10.0.2.2:%u/ 2>&1 | tail -1" % self.port)
            self.assertRegex(answer, "refused|timed out")
            self.power_off(machine)

    def test_mistakes(self):
        used = socket.socket()
        self.addCleanup(used.close)
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        for option, words in (
                ("user,hostfwd=tcp:127.0.0.1:%u-:22" % port,
                 "port %u of the host: Address already in use; choose another" % port),
                ("user,hostfwd=tcp:127.0.0.1:22", "write it as tcp:127.0.0.1:2222-:22"),
                ("user,hostfwd=tcp:192.0.2.77:2222-:22", "Cannot assign requested address"),
                ("user,host=10.0.3.2", "write an address in the network"),
                ("user,mtu=1", "from 1280 to 65520"),
                ("tap", "there are user and passt"),
                ("passt,socket=/nowhere/socket", "No such file or directory")):
            status, _, errors = harness.run("-n", option)
            self.assertEqual(status, 1, errors)
            self.assertEqual(errors.count("\n"), 1, errors)
            self.assertIn(words, errors)
        status, _, errors = harness.run(*["-n", "user"] * 9)
        self.assertEqual((status, errors), (1, "ringer: net: there may be 8 network cards\n"))


harness.main()
