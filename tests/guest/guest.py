"""Runs `ringer run` with a test guest, and looks after it.

RINGER in the environment is the program, TEST_GUESTS the folder with the test guests.  ENGINE, if it
is there, holds the options that choose the engine.
"""
import os
import signal
import subprocess
import tempfile
import time

RINGER = os.environ["RINGER"]
TEST_GUESTS = os.environ["TEST_GUESTS"]
ENGINE = os.environ.get("ENGINE", "").split()

# Ringer answers SIGTERM within so many seconds.
END_TIME = 2


def path(name):
    return os.path.join(TEST_GUESTS, name + ".elf")


def is_gone(pid):
    """Whether there is no such process, or only what its parent has not yet waited for."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            return [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(pid):
    """The time on a processor that a process has had."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Run:
    """A `ringer run`, its output in a file: nothing that it prints can hold it up."""

    def __init__(self, *arguments, command=(), preexec=None):
        self.output = tempfile.TemporaryFile()
        self.vcpus = set()
        self.process = subprocess.Popen([*command, RINGER, "run", *ENGINE, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, start_new_session=True,
                                        preexec_fn=preexec)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()

    def text(self):
        self.output.seek(0)
        return self.output.read().decode("latin1").replace("\r", "")

    def tail(self):
        """The end of the text, for a failure's message."""
        return self.text()[-3000:]

    def look(self):
        self.vcpus.update(children(self.pid))

    def wait(self, seconds):
        """Waits so long at most; returns the exit status, or None if it runs on."""
        end = time.monotonic() + seconds
        pause = 0.002
        while True:
            self.look()
            status = self.process.poll()
            if status is not None or time.monotonic() > end:
                return status
            time.sleep(pause)
            pause = min(2 * pause, 0.05)

    def wait_for_vcpu(self, seconds=10):
        """Returns the process of the vCPU once there is one that has its own program."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for pid in children(self.pid):
                try:
                    with open("/proc/%d/comm" % pid) as file:
                        if file.read().strip() != "ringer":
                            self.look()
                            return pid
                except (FileNotFoundError, ProcessLookupError):
                    pass
            time.sleep(0.01)
        raise AssertionError("there is no vCPU process")

    def wait_for_text(self, wanted, seconds=10):
        end = time.monotonic() + seconds
        while wanted not in self.text():
            if time.monotonic() > end:
                raise AssertionError("no %r in\n%s" % (wanted, self.tail()))
            time.sleep(0.02)

    def end(self):
        """Ends it by SIGTERM; returns None or what is wrong."""
        self.look()
        os.kill(self.pid, signal.SIGTERM)
        status = self.wait(END_TIME)
        if status is None:
            return "SIGTERM does not end it\n" + self.tail()
        if status != 128 + signal.SIGTERM:
            return "SIGTERM ends it with %d\n%s" % (status, self.tail())
        return self.leftovers()

    def leftovers(self):
        """What must not be after the end: a vCPU's process, words of Ringer's own failure."""
        end = time.monotonic() + END_TIME
        while not all(is_gone(pid) for pid in self.vcpus):
            if time.monotonic() > end:
                return "vCPU processes are still there: %s" % self.vcpus
            time.sleep(0.01)
        text = self.text()
        if self.process.returncode == 125 or " died" in text or "ringer-cpu:" in text:
            return "Ringer failed\n" + self.tail()
        return None
