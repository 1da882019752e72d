#!/usr/bin/env python3
"""Measure Ringer: a kernel's boot, memory, an idle guest, and the workload beside native and TCG.

Figures of the workload are CPU seconds as the host sees them, so that other work on the machine counts
little.  A result whose checksum is not the native one says WRONG.  In the environment: WL_SCALE=n (a
whole number: 1/n of the work, by default 10), WL_TIMES=n (n times the work of the programs that
compute, so that their starts count for less), WL_ONLY=fib,sh (only these), WL_ENGINES=hybrid (only
these engines).
"""
import argparse
import json
import math
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SCALE = os.environ.get("WL_SCALE", "10")
TIMES = os.environ.get("WL_TIMES", "1")
ONLY = os.environ.get("WL_ONLY", "")
ENGINES = os.environ.get("WL_ENGINES", "interp,hybrid").split(",")

# Where the host has no protection keys, hybrid is measured without: its speed is the same.
UNPROTECTED = ("--unprotected",)


def progress(text):
    """What is being done now: on a terminal one line that is written over, else a line each."""
    if sys.stderr.isatty():
        text, end = ("\r\x1b[K... " + text, "") if text else ("\r\x1b[K", "")
    else:
        text, end = "... " + text, "\n"
    print(text, end=end, file=sys.stderr, flush=True)


def tell(text):
    """A line that stays."""
    if sys.stderr.isatty():
        progress("")
    print(text, flush=True)


def tree_seconds(root):
    """CPU seconds of a process and of its living descendants."""
    parent = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as file:
                    parent[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    total, family = 0.0, [root]
    for pid in family:
        family += [child for child, its_parent in parent.items() if its_parent == pid]
        try:
            total += time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of the process
        except OSError:
            pass
    return total


class Run:
    """A command whose output is read line by line, with the times of its lines."""

    def __init__(self, command, environment=None):
        self.start = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True,
                                        env=dict(os.environ, **(environment or {})))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def lines(self, limit):
        """Yields (seconds since the start, line) until the end, or for limit seconds."""
        descriptor, pending = self.process.stdout.fileno(), b""
        while time.monotonic() - self.start < limit:
            if not select.select([descriptor], [], [], 0.2)[0]:
                continue
            data = os.read(descriptor, 65536)
            if not data:
                return
            *whole, pending = (pending + data).split(b"\n")
            for line in whole:
                text = re.sub(r"[^\x20-\x7e]", "", line.decode("latin1"))
                yield time.monotonic() - self.start, text
        tell("out of time after %d s" % limit)

    def seconds(self):
        return tree_seconds(self.process.pid)


def work():
    """What of the work, as words of the guest's command line."""
    return " WL_SCALE=%s WL_TIMES=%s" % (SCALE, TIMES) + (" WL_ONLY=%s" % ONLY if ONLY else "")


def ringer(options, bench, *more):
    append = "console=ttyS0 quiet panic=-1 BENCH=%s" % bench + work()
    return [options.ringer, "run", "--protocol", "vmlinux", "-k", options.kernel,
            "-i", options.initramfs, "-a", append, *more]


def qemu(options, bench):
    """Debian's QEMU on its quickest machine.  Told the TSC's rate, its guest calibrates nothing."""
    append = ("console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz=2000000 tsc=reliable "
              "BENCH=%s" % bench + work())
    return ["qemu-system-x86_64", "-M", "microvm,pic=on,pit=on,rtc=on", "-accel", "tcg",
            "-cpu", "max", "-smp", "1", "-m", "512", "-nodefaults", "-no-user-config",
            "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", options.kernel,
            "-initrd", options.initramfs, "-append", append]


# ------------------------------------------------------------------ boot, memory, idle

def seconds_to_init(command):
    with Run(command) as run:
        for when, line in run.lines(120):
            if line == "INIT-START":
                return when
    return None


def show(name, text):
    tell("%-50s %s" % (name, text))


def boot(options):
    times = []
    with tempfile.NamedTemporaryFile() as stats_file:
        for i in range(3):
            progress("boot %d of 3" % (i + 1))
            before = os.times()
            with Run(ringer(options, "boot", "--stats=" + stats_file.name)) as run:
                for when, line in run.lines(120):
                    if line == "INIT-START":
                        times.append(when)
                run.process.wait()
            after = os.times()
        cpu = after.children_user + after.children_system - (
            before.children_user + before.children_system)
        try:
            with open(stats_file.name) as file:
                stats = json.load(file)
        except ValueError:
            stats = None
    if not times or not stats:
        show("boot", "failed")
        return
    show("process start to the first line of /init", "%.2f s (median of %d)" % (
        sorted(times)[len(times) // 2], len(times)))
    show("instructions of a boot and power-off", "%.0f million" % (stats["instructions"] / 1e6))
    show("guest instructions per CPU second, all of a boot", "%.0f million" % (
        stats["instructions"] / cpu / 1e6))
    show("Ringer's own resident memory", "%.1f MiB" % (stats["resident_bytes"] / (1 << 20)))


def idle(options, seconds=10):
    progress("an idle guest, %d s" % seconds)
    with Run(ringer(options, "idle")) as run:
        for _, line in run.lines(120):
            if line == "INIT-START":
                break
        else:
            show("idle guest", "failed")
            return
        time.sleep(3)
        before, start = run.seconds(), time.monotonic()
        time.sleep(seconds)
        used = (run.seconds() - before) / (time.monotonic() - start)
    show("CPU use of an idle guest", "%.2f %% of a core" % (100 * used))


# ------------------------------------------------------------------ the workload

def suite(name, command, environment=None, native=False):
    """benchmark -> (CPU seconds, operations, name of an operation, checksum)."""
    found, before = {}, 0.0
    with Run(command, environment) as run:
        for _, line in run.lines(1800):
            words = line.split()
            if words[:1] == ["BEGIN"]:
                before = run.seconds()
                progress("%s: %s" % (name, words[1]))
            elif words[:1] == ["RESULT"] and len(words) == 7:
                # The native program's own figure; of a guest, what its machine's processes used.
                seconds = float(words[3]) if native else run.seconds() - before
                found[words[1]] = (seconds, int(words[4]), words[5], words[6])
            elif line == "SUITE-DONE":
                break
    return found


def per_operation(result):
    value = result[0] / result[1] * 1e9
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value >= size:
            return "%.3g %s" % (value / size, unit)
    return "%.3g ns" % value


def table(columns):
    """columns: (name, results); the first is what the others are compared with."""
    reference = columns[0][1]
    width = {name: 12 if results is reference else 22 for name, results in columns}
    tell("")
    tell("%-20s" % "workload" + "".join("%*s" % (width[name], name) for name, _ in columns))
    ratios = {name: [] for name, _ in columns}
    for benchmark in reference:
        text = "%-20s" % ("%s (%s)" % (benchmark, reference[benchmark][2]))
        for name, results in columns:
            result = results.get(benchmark)
            cell = per_operation(result) if result else "-"
            if result and results is not reference:
                ratio = result[0] / max(reference[benchmark][0], 1e-6)
                ratios[name].append(ratio)
                cell += " %6.1fx" % ratio
                if result[3] != reference[benchmark][3]:
                    cell += " WRONG"
            text += "%*s" % (width[name], cell)
        tell(text)
    text = "%-20s" % "geometric mean"
    for name, _ in columns:
        values = ratios[name]
        text += "%*s" % (width[name], "%.1fx" % math.exp(sum(map(math.log, values)) / len(values))
                         if values else "")
    tell(text)


def traps(options):
    """What a trap costs on the engine `trap`, beside a signal of the host's and its return."""
    progress("traps")
    native = subprocess.run([os.path.join(options.bin, "signals")], capture_output=True, text=True)
    signal_ns = float(native.stdout.split()[0])
    show("a signal of the host's and its return", "%.0f ns" % signal_ns)
    command = [options.ringer, "run", "-e", "trap", *UNPROTECTED, "--debug-exit",
               "-k", options.traps]
    with Run(command) as run:
        for _, line in run.lines(120):
            words = line.split(None, 2)
            if words[:1] == ["BEGIN"]:
                before = run.seconds()
            elif words[:1] == ["END"]:
                trap_ns = (run.seconds() - before) / int(words[1]) * 1e9
                show("a trap: " + words[2], "%.0f ns, %.2f times that" % (
                    trap_ns, trap_ns / signal_ns))


def workload(options):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        script = "PATH=%s:$PATH sh %s %s; echo SUITE-DONE" % (options.bin, options.suite, scratch)
        environment = {"WL_SCALE": SCALE, "WL_TIMES": TIMES, "WL_ONLY": ONLY}
        columns = [("native", suite("native", ["sh", "-c", script], environment, native=True))]
    for engine in ENGINES:
        columns.append((engine, suite(engine, ringer(options, "suite", "-e", engine, *UNPROTECTED))))
    if shutil.which("qemu-system-x86_64"):
        columns.append(("qemu tcg", suite("qemu tcg", qemu(options, "suite"))))
    else:
        tell("There is no QEMU to compare with; as root: apt-get install qemu-system-x86")
    table(columns)


def main():
    parser = argparse.ArgumentParser(description="Measure Ringer.")
    for name in ("ringer", "kernel", "initramfs", "bin", "suite", "traps"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    boot(options)
    if shutil.which("qemu-system-x86_64"):
        progress("boot under QEMU TCG")
        seconds = seconds_to_init(qemu(options, "boot"))
        show("the same start under QEMU TCG, microvm",
             "%.2f s" % seconds if seconds else "failed")
    idle(options)
    traps(options)
    workload(options)


if __name__ == "__main__":
    main()
