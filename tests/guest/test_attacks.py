#!/usr/bin/env python3
"""Has user code attack Ringer: test_attacks.py interp | trusted | keys KERNEL

The rows are those of attacks.txt.  With keys they run in QEMU (tools/in_qemu.py), on KERNEL, and so do
jumps to every byte of the gate, to the handler of signals with each RSP that a frame could be at, and
to all system calls of the program.  RINGER and TEST_GUESTS in the environment as for
guest.py; RINGER_CPU is the vCPU's program.
"""
import os
import re
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.join(HERE, "../../tools")
SKIPPED = 77
GOOD = 33
SECONDS = 300
HIDDEN_START = 0x700000000000
HIDES_SIGNALS = (6, 12)     # the Linux since which guest code cannot see frames of signals


def rows(where):
    with open(os.path.join(HERE, "attacks.txt")) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, arguments, places, *options = [cell.strip() for cell in line.split("|")]
                if where in places.split(","):
                    yield name, arguments, "-m 64M " + "".join(options)


# ---- on this host

def run_here(where):
    import guest
    failed = 0
    engine = ["-e", "interp"] if where == "interp" else ["-e", "hybrid-at-once", "--unprotected"]
    for name, arguments, options in rows(where):
        if where == "trusted":
            arguments += " trusted"
        with guest.Run(*engine, "--debug-exit", *options.split(), "-k", guest.path("attack"),
                       "-a", arguments) as machine:
            status = machine.wait(60)
            if status is None:
                machine.end()
            text = machine.text()
            if status == 1 and "use -e interp" in text:
                print("skipped: " + text.strip())
                sys.exit(SKIPPED)
            problem = None if status == GOOD else "ends with %s\n%s" % (status, text[-3000:])
            problem = problem or machine.leftovers()
        failed += bool(problem)
        print("%s %s%s" % ("FAIL" if problem else "ok  ", name, "\n" + problem if problem else ""),
              flush=True)
    sys.exit(1 if failed else 0)


# ---- in QEMU

def symbols(path):
    """Offsets of symbols in the program, which begins where the hidden zone does."""
    listing = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    return {line.split()[2]: int(line.split()[0], 16) - HIDDEN_START
            for line in listing.splitlines() if len(line.split()) == 3}


def system_calls(size):
    """Offsets of SYSCALL, SYSENTER and INT 0x80 in the program's text, wherever the bytes stand."""
    with open(os.environ["RINGER_CPU"], "rb") as file:
        data = file.read()
    start = data.index(b"\x31\xed\x48\x89\xe7")   # _start, at the beginning of the hidden zone
    return [match.start() for match in re.finditer(b"\x0f\x05|\x0f\x34|\xcd\x80",
                                                   data[start:start + size])]


def kernel_version(path):
    """The version that a bzImage says it has.  Linux, "The Linux/x86 Boot Protocol"."""
    with open(path, "rb") as file:
        data = file.read(65536)
    at, = struct.unpack_from("<H", data, 0x20e)
    words = data[at + 0x200:].split(b"\0")[0].split(b".")
    return int(words[0]), int(words[1])


# jump FIRST END OPTIONS: jumps to all bytes from FIRST to END.  QEMU 7.2 reads the stack of a far return
# as the supervisor; where no page is, the kernel takes that for a failure of its own, and kills the
# process with a user's RIP in its report.  No other death is forgiven; the rest goes on after it.
SHELL = """
cd %(folder)s
attack() {
    %(ringer)s run -e hybrid-at-once --debug-exit ${2:--m 64M} -k %(guest)s -a "$1" >/tmp/out 2>&1
}
report() {
    status=$?
    cat /tmp/out
    echo "ATTACK $status $1"
}
jump() {
    first=$1
    while attack "text keys first=$first size=$(($2 - first)) $3"; [ $? != 33 ]; do
        dmesg -c | grep -q 'RIP: 0033:' || { false; return; }
        first=$((0x$(sed -n 's/^R15=//p' /tmp/out) - 0x700000000000 + 1))
        skipped=$((skipped + 1))
        [ $first -lt $2 ] || return 0
    done
}
skipped=0
dmesg -c >/dev/null
"""


def script(frames):
    s = symbols(os.environ["RINGER_CPU"])
    text = SHELL % {"folder": os.getcwd(), "ringer": os.environ["RINGER"],
                    "guest": os.path.join(os.environ["TEST_GUESTS"], "attack.elf")}
    for name, arguments, options in rows("keys"):
        text += "attack '%s keys%s' '%s'; report %s\n" % (arguments, frames, options, name)
    for name in ("vcpu_gate_signal", "vcpu_pkru_signal", "vcpu_gate_signal_without_keys"):
        text += "attack 'handler keys first=%d%s'; report %s\n" % (s[name], frames, name)
    for name, first, end, options in (
            ("gate", s["vcpu_gate_enter"], s["vcpu_gate_signal"], ""),
            ("gate-stacks", s["vcpu_gate_signal"], s["vcpu_pkru_start"] + 30, "stacks")):
        text += "jump %d %d '%s%s'; report %s\n" % (first, end, options, frames, name)
    for first in system_calls(s["vcpu_image_text_end"]):
        text += "jump %d %d '%s'; report system-call\n" % (first, first + 1, frames)
    return text + "echo SKIPPED $skipped\n"


def run_with_keys(kernel):
    if not os.path.exists(kernel):
        print("skipped: there is no %s (make check-keys fetches it)" % kernel)
        sys.exit(SKIPPED)
    version = kernel_version(kernel)
    frames = "" if version >= HIDES_SIGNALS else " frames"
    commands = script(frames)
    run = subprocess.run(
        [sys.executable, os.path.join(TOOLS, "in_qemu.py"), "--kernel", kernel, "--seconds",
         str(SECONDS), "--file", os.environ["RINGER"], "--file",
         os.path.join(os.environ["TEST_GUESTS"], "attack.elf"), commands],
        stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode == SKIPPED:
        print(run.stdout, end="")
        sys.exit(SKIPPED)
    done = re.findall(r"^ATTACK (\d+) (\S+)$", run.stdout, re.M)
    expected = commands.count("; report ")
    failed = [name for status, name in done if int(status) not in (0, GOOD)]
    print("Linux %d.%d: %d of %d attacks, %s" % (*version, len(done), expected,
                                                 "failed: " + " ".join(failed) if failed else
                                                 "none of them bad"))
    print("\n".join(re.findall(r"^SKIPPED.*$", run.stdout, re.M)), "jumps, for QEMU's far returns")
    if failed or run.returncode or len(done) != expected:
        print(run.stdout[-8000:])
        sys.exit(1)


def main():
    if sys.argv[1] == "keys":
        run_with_keys(sys.argv[2])
    else:
        run_here(sys.argv[1])


main()
