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

    def wait_for(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def get(self, machine, host):
        answer = machine.command("wget -qO- http://%s:%d/ | md5sum" % (host, self.port))
        self.assertEqual(answer.split()[0], DIGEST)

    def post(self, machine, host):
        """The other direction: 2 MiB, of which the guest tells the sum, too.  Its netcat is not
        waited for: older versions of passt do not end a connection that one side has ended."""
        Server.taken.clear()
        answer = machine.command(
            "cat /bin/busybox /bin/busybox | head -c %u >/tmp/f; md5sum </tmp/f; "
            "(printf 'POST / HTTP/1.0\\r\\nContent-Length: %u\\r\\n\\r\\n'; cat /tmp/f) | "
            "nc %s %u >/dev/null &" % (2 * MIB, 2 * MIB, host, self.port))
        self.wait_for(lambda: Server.taken)
        self.assertEqual(Server.taken, [answer.split()[0]])
        machine.command("killall -q nc")

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
            self.assertEqual(answer.split(), ["16384", "52:54:00:12:34:56", "nameserver", "10.0.2.3"])
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
                             ["1500", "16384", "02:00:00:00:00:09", "52:54:00:12:34:57"])
            self.get(machine, "192.168.7.2")
            self.post(machine, "192.168.7.2")
            machine.command("ip link set eth0 down; ip addr flush dev eth0")
            answer = machine.command(SCRIPT.replace("eth0", "eth1"))
            self.assertIn("lease of 10.0.2.15 obtained from 10.0.2.2", answer)
            answer = machine.command("wget -O- http://10.0.2.2:%u/ 2>&1 | tail -1" % self.port)
            self.assertRegex(answer, "refused|timed out")
            self.power_off(machine)

    def passt(self, path):
        """A passt that listens at path."""
        process = subprocess.Popen(["passt", "--foreground", "--quiet", "--socket", path],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait_for(lambda: os.path.exists(path) or process.poll() is not None)
        if process.poll() is not None:
            self.skipTest("passt does not run here")
        return process

    def carrier(self, machine, value):
        for _ in range(100):
            if machine.command("cat /sys/class/net/eth0/carrier").split()[0] == value:
                return
            time.sleep(0.2)
        self.fail("the link is not as it should be")

    def test_passt(self):
        """One that has been started, which goes and comes back; and one of the card's own."""
        if not shutil.which("passt"):
            self.skipTest("passt is not here (package passt)")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o777)    # where root starts it, it becomes another user
        path = os.path.join(folder.name, "socket")
        server, port = self.passt(path), free_port()
        with boot("-n", "passt,socket=" + path, "-n",
                  "passt,hostfwd=tcp:127.0.0.1:%u-:80" % port) as machine:
            self.assertIn("obtained from", machine.command(SCRIPT))
            gateway = machine.command("ip route show default").split()[2]
            self.get(machine, gateway)
            self.post(machine, gateway)
            server.kill()
            server.wait()
            self.carrier(machine, "0")
            os.remove(path)
            server = self.passt(path)
            self.carrier(machine, "1")
            self.get(machine, gateway)
            machine.command("ip link set eth0 down; ip addr flush dev eth0")
            self.assertIn("obtained from", machine.command(SCRIPT.replace("eth0", "eth1")))
            self.serve(machine, port)
            machine.send("poweroff\n")
            status, errors = machine.finish()
        self.assertEqual(status, 0)
        lines = [line for line in errors.splitlines() if line.startswith("ringer: ")]
        self.assertEqual(lines, [
            "ringer: net: passt at '%s' has gone: it has closed the connection; "
            "the guest has no link until it is back" % path,
            "ringer: net: passt at '%s' is back" % path])

    def test_replay(self):
        """What a recorded run was sent comes again, with nobody there to send it."""
        if "hybrid" in harness.ENGINE:
            self.skipTest("on virtual time hybrid takes programs step by step")
        with tempfile.NamedTemporaryFile() as record:
            arguments = ("--protocol", "vmlinux", "-k", harness.KERNEL, "-i", harness.INITRAMFS, "-a",
                         "console=ttyS0 rdinit=/bin/sh -- -c \"%s\"" % (
                             "export PATH=/bin; mount -t proc p /proc; mount -t sysfs s /sys; "
                             "mount -t devtmpfs d /dev; mount -t tmpfs t /tmp; modprobe virtio_pci; "
                             "modprobe virtio_net; ip link set eth0 up; "
                             "ip addr add 10.0.2.15/24 dev eth0; "
                             "wget -qO- http://10.0.2.2:%u/ | md5sum; dmesg; cat /proc/net/snmp; "
                             "poweroff -f" % self.port))
            first = harness.run(*arguments, "--record", record.name, "-n", "user,ipv6=off",
                                timeout=2 * harness.BOOT_TIME)
            self.assertEqual(first[0], 0, first[2])
            self.assertIn(DIGEST, first[1])
            self.server.server_close()
            second = harness.run(*arguments, "--replay", record.name, "-n", "user,ipv6=off",
                                 timeout=2 * harness.BOOT_TIME)
            self.assertEqual(second, first)
            status, _, errors = harness.run(*arguments, "--replay", record.name, "-n",
                                            "user,mtu=1500,ipv6=off")
            self.assertEqual(status, 1)
            self.assertIn("was recorded with other devices", errors)

    def test_snapshot(self):
        """The card and its address are there again, on another port of the host's."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        control, kept = (os.path.join(folder.name, name) for name in ("control", "kept"))
        first, second = free_port(), free_port()
        with boot("--control", control, "-n",
                  "user,hostfwd=tcp:127.0.0.1:%u-:80" % first) as machine:
            machine.command(SCRIPT)
            self.get(machine, "10.0.2.2")
            result = subprocess.run([harness.RINGER, "snapshot", control, kept],
                                    capture_output=True, text=True)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            status, _, errors = harness.run("--restore", kept)
            self.assertEqual(status, 1)
            self.assertIn("port %u of the host: Address already in use" % first, errors)
        status, _, errors = harness.run("--restore", kept, "-n", "user", "-n", "user")
        self.assertEqual(status, 1)
        self.assertIn("all of them", errors)
        with harness.Machine("--restore", kept, "-n",
                             "user,hostfwd=tcp:127.0.0.1:%u-:80" % second) as machine:
            machine.send("\n")
            machine.expect("^" + harness.PROMPT)
            self.get(machine, "10.0.2.2")
            self.serve(machine, second)
            machine.send("poweroff\n")
            self.assertEqual(machine.finish()[0], 0)

    def test_monitor(self):
        port = free_port()
        with harness.Machine("-n", "user,hostfwd=tcp:127.0.0.1:%u-:22" % port,
                             terminal=True) as machine:
            machine.send("\x01c")
            machine.expect(r"\(ringer\) ")
            machine.send("info network\r")
            machine.expect("card 1: MTU 16384")
            machine.expect(r"TCP\[HOST_FORWARD\].*127.0.0.1 +%u +10.0.2.15 +22 " % port)
            machine.send("quit\r")
            self.assertEqual(machine.finish()[0], 0)

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
                ("user,mtu=16385", "is not between 1280 and 16384"),
                ("tap", "there are user and passt"),
                ("passt,socket=/nowhere/socket", "No such file or directory")):
            status, _, errors = harness.run("-n", option)
            self.assertEqual(status, 1, errors)
            self.assertEqual(errors.count("\n"), 1, errors)
            self.assertIn(words, errors)
        status, _, errors = harness.run(*["-n", "user"] * 9)
        self.assertEqual((status, errors), (1, "ringer: net: there may be 8 network cards\n"))


harness.main()
