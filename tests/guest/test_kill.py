#!/usr/bin/env python3
"""What a flush has acknowledged is there, whenever Ringer is killed: test_kill.py [KILLS]

The guest writes sector after sector, each full of the number of its round, flushes, and prints the
number.  Ringer is killed with SIGKILL at a random moment.  Then every sector must have the number of
the last round that wrote it and was printed, or a later one's.
"""
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import guest

SECTORS = 64
BYTES = 512


def written(number):
    """The sectors that a round writes: as in guest/tests/virtio.c."""
    first = number * 7 % (SECTORS - 8)
    return range(first, first + 1 + number % 8)


def last_round(machine):
    """The last number that was printed as a whole line."""
    numbers = re.findall(r"^([0-9a-f]+)\n", machine.text().replace("\r", ""), re.M)
    return int(numbers[-1], 16) if numbers else 0


def check(image, last):
    """Returns None or what is wrong with the image."""
    expected = [0] * SECTORS
    for number in range(1, last + 1):
        for sector in written(number):
            expected[sector] = number
    for sector in range(SECTORS):
        numbers = struct.unpack("<64Q", image[sector * BYTES:(sector + 1) * BYTES])
        for number in numbers:
            # The guest was further than what it has printed: a later round may have come to this
            # sector, or to a part of it.
            later = number > last and sector in written(number)
            if number != expected[sector] and not later:
                return "sector %d has round %d instead of %d; round %d was flushed" % (
                    sector, number, expected[sector], last)
    return None


def run_once(folder, qcow2, moment):
    """Returns how many rounds were flushed, and what is wrong."""
    path = os.path.join(folder, "disk")
    option = path
    if qcow2:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
        option += ",format=qcow2"
    else:
        with open(path, "wb") as file:
            file.truncate(1 << 20)
    with guest.Run("-k", guest.path("virtio"), "-m", "32M", "-d", option,
                   "-a", "disk sectors=%d" % SECTORS) as machine:
        end = time.monotonic() + 60
        while not last_round(machine) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(moment)
        servers = guest.children(machine.pid)
        os.kill(machine.pid, signal.SIGKILL)
        machine.process.wait()
        while not all(map(guest.is_gone, servers)):
            time.sleep(0.01)
        last = last_round(machine)
    if qcow2:
        subprocess.run(["qemu-img", "check", "-q", path], check=True)
        subprocess.run(["qemu-img", "convert", "-O", "raw", path, path + ".raw"], check=True)
        path += ".raw"
    with open(path, "rb") as file:
        problem = check(file.read(SECTORS * BYTES), last)
    return last, problem if last else "the guest did not write"


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    qcow2 = bool(shutil.which("qemu-nbd") and shutil.which("qemu-img"))
    total = failed = 0
    seed = int(os.environ.get("SEED", time.time_ns()))
    moments = random.Random(seed)
    for i in range(kills):
        with tempfile.TemporaryDirectory() as folder:
            last, problem = run_once(folder, qcow2 and i % 5 == 4, moments.uniform(0, 0.1))
        total += last
        if problem:
            failed += 1
            print("FAIL kill %d (SEED=%d): %s" % (i, seed, problem))
    print("%d kills, %d flushed rounds, %d wrong" % (kills, total, failed))
    sys.exit(1 if failed else 0)


main()
