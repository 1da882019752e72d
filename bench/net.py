#!/usr/bin/env python3
"""Measure the network: one TCP connection each way to the host, and a small web server in the guest.

Beside Debian's QEMU with TCG, which has the same libslirp behind it, and an MTU of 1500; so Ringer is
measured with that, too.  Times are the host's; beside each rate is what it took of the CPU, all
processes of the machine together, which other work on the host changes less.  In the environment:
WL_ENGINES=hybrid (only these engines).
"""
import argparse
import shutil
import socket
import threading
import time

from bench import ENGINES, UNPROTECTED, Run, progress, tell

SECONDS = 3.0       # of each flow, after the first WARM_UP
WARM_UP = 0.5
REQUEST_SECONDS = 4.0
CLIENTS = 4


class Host:
    """The other end of the guest's flows (flow.c)."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.cpu = lambda: 0.0      # of the machine, in seconds
        # "s", what the guest has sent; "r", received: bytes per second, CPU seconds per byte
        self.rates = {}
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                way = connection.recv(1).decode()
                self.rates[way] = self.measure(connection, way == "s")

    def measure(self, connection, receives):
        buffer = bytearray(1 << 20)
        start, counted, cpu = time.monotonic(), None, 0.0
        connection.settimeout(10)
        while True:
            try:
                n = connection.recv_into(buffer) if receives else connection.send(buffer)
            except OSError:
                n = 0
            now = time.monotonic()
            if counted is None:
                if now - start > WARM_UP or not n:
                    start, counted, cpu = now, 0, self.cpu()
            else:
                counted += n
            if not n or (counted is not None and now - start > SECONDS):
                return (counted or 0) / max(now - start, 1e-9), (self.cpu() - cpu) / (counted or 1)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def request(port):
    """One page; False where there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        return answer.startswith(b"HTTP/1.") and answer.endswith(b"served\n")
    except OSError:
        return False


def requests(port):
    """Pages per second, for CLIENTS that ask one after the other."""
    counts = [0] * CLIENTS
    end = time.monotonic() + REQUEST_SECONDS

    def client(number):
        while time.monotonic() < end:
            counts[number] += request(port)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / REQUEST_SECONDS


def append(host):
    return "console=ttyS0 quiet panic=-1 BENCH=net NET_PORT=%u" % host.port


def ringer(options, host, port, engine, more):
    return [options.ringer, "run", "--protocol", "vmlinux", "-k", options.kernel, "-i",
            options.initramfs, "-a", append(host), "-e", engine, *UNPROTECTED,
            "-n", "user,hostfwd=tcp:127.0.0.1:%u-:80%s" % (port, more)]


def qemu(options, host, port):
    return ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m",
            "512", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
            "-no-reboot", "-kernel", options.kernel, "-initrd", options.initramfs, "-append",
            append(host), "-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:%u-:80" % port,
            "-device", "virtio-net-pci,netdev=n"]


def measure(name, command, host, port):
    """(units per second, CPU seconds per unit) of bytes sent, bytes received, pages served."""
    host.rates.clear()
    pages = 0.0, 0.0
    with Run(command) as run:
        host.cpu = run.seconds
        for _, line in run.lines(120):
            if line.startswith("NET "):
                progress("network, %s: %s" % (name, line[4:]))
            if line == "NET serving":
                if request(port):
                    before = run.seconds()
                    rate = requests(port)
                    pages = rate, (run.seconds() - before) / (rate * REQUEST_SECONDS or 1)
                break
    nothing = 0.0, 0.0
    return host.rates.get("s", nothing), host.rates.get("r", nothing), pages


def main():
    parser = argparse.ArgumentParser(description="Measure Ringer's network.")
    for name in ("ringer", "kernel", "initramfs"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    host = Host()
    rows = []
    for engine in ENGINES:
        for name, more in ((engine, ""), (engine + ", mtu=1500", ",mtu=1500")):
            port = free_port()
            rows.append((name, measure(name, ringer(options, host, port, engine, more), host, port)))
    if shutil.which("qemu-system-x86_64"):
        port = free_port()
        rows.append(("qemu tcg", measure("qemu tcg", qemu(options, host, port), host, port)))
    tell("")
    tell("%-20s%27s%27s%20s" % ("network (CPU)", "guest to host", "host to guest", "pages of a httpd"))
    for name, (sent, received, pages) in rows:
        tell("%-20s%13.0f MB/s %4.1f s/GB%13.0f MB/s %4.1f s/GB%8.0f/s %4.1f ms" % (
            name, sent[0] / 1e6, sent[1] * 1e9, received[0] / 1e6, received[1] * 1e9,
            pages[0], pages[1] * 1e3))


main()
