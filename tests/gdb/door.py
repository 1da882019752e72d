"""A `ringer run` with the debugger's door open, Debian's gdb on it, and a client of our own.

RINGER in the environment is the program, TEST_GUESTS the folder with the test guests, GUEST the one
with vmlinuz and initramfs.cpio.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

RINGER = os.environ["RINGER"]
TEST_GUESTS = os.environ["TEST_GUESTS"]
GUEST = os.environ.get("GUEST", "")
GDB = shutil.which("gdb")

PATIENCE = int(os.environ.get("PATIENCE", "60"))  # seconds that anything may take on a busy machine


def path(name):
    return os.path.join(TEST_GUESTS, name + ".elf")


def may_fail(command):
    """A gdb command that prints its error, if it meets one, instead of ending the script."""
    return ("python exec('try: gdb.execute(%s)\\nexcept gdb.error as error: print(error)')"
            % ('"""' + command + '"""'))


class Door:
    """A `ringer run` with --gdb on a socket of its own; wait=False lets the guest begin at once."""

    def __init__(self, *arguments, wait=True):
        self.folder = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.folder.name, "gdb")
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [RINGER, "run", "--gdb", "unix:%s%s" % (self.socket, ",wait" if wait else ""),
             *arguments],
            stdin=subprocess.PIPE, stdout=self.output, stderr=subprocess.STDOUT,
            start_new_session=True)
        end = time.monotonic() + PATIENCE
        while not self.listening():
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError("no door: " + self.text())
            time.sleep(0.01)

    def listening(self):
        """As the kernel lists it: a client that only tried would be the debugger, and go again."""
        with open("/proc/net/unix") as sockets:
            # Num RefCount Protocol Flags ...; flag 0x10000 is set while the socket listens.
            return any(line.split()[3] == "00010000" for line in sockets
                       if line.rstrip().endswith(" " + self.socket))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdin.close()
        self.output.close()
        self.folder.cleanup()

    def text(self):
        self.output.seek(0)
        return self.output.read().decode("latin1").replace("\r", "")

    def wait_for_text(self, wanted):
        end = time.monotonic() + PATIENCE
        while wanted not in self.text():
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError("no %r in\n%s" % (wanted, self.text()[-3000:]))
            time.sleep(0.02)

    def finish(self):
        """Waits for the end; returns the exit status."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError("ringer goes on:\n" + self.text()[-3000:])

    def gdb(self, *commands, symbols=None):
        """Runs gdb with these commands after connecting to the guest; returns what it printed."""
        lines = ["set confirm off", "set pagination off", "set width 0",
                 "target remote " + self.socket, *commands]
        script = os.path.join(self.folder.name, "script")
        with open(script, "w") as file:
            file.write("\n".join(lines) + "\n")
        result = subprocess.run([GDB, "-batch", "-nx", *([symbols] if symbols else []), "-x", script],
                                capture_output=True, timeout=PATIENCE, text=True, errors="replace",
                                stdin=subprocess.DEVNULL)
        return result.stdout + result.stderr


class Client:
    """Speaks the protocol by itself, so that it can also speak it badly."""

    def __init__(self, where):
        if isinstance(where, tuple):
            self.socket = socket.create_connection(where, PATIENCE)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(where)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, payload):
        if isinstance(payload, str):
            payload = payload.encode("latin1")
        self.raw(b"$%s#%02x" % (payload, sum(payload) % 256))

    def receive(self):
        """The payload of the next packet; None at the end of the connection."""
        while True:
            match = re.match(rb"[+-]*\$([^#]*)#..", self.received, re.S)
            if match:
                self.received = self.received[match.end():]
                try:
                    self.raw(b"+")
                except (BrokenPipeError, ConnectionResetError):
                    pass # it was the last one
                payload = match.group(1).decode("latin1")
                return re.sub("}(.)", lambda m: chr(ord(m.group(1)) ^ 0x20), payload, flags=re.S)
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.received += data

    def ask(self, payload):
        self.send(payload)
        return self.receive()

    def is_closed(self):
        """Whether the other side hangs up, perhaps after some bytes."""
        while True:
            try:
                if not self.socket.recv(65536):
                    return True
            except ConnectionResetError:
                return True
            except socket.timeout:
                return False
