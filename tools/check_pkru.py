#!/usr/bin/env python3
"""Check where a linked ringer-cpu can change PKRU: check_pkru.py PROGRAM

Guest code that the host's CPU runs could jump to any byte of the program.  So each place where the
bytes of WRPKRU (0F 01 EF) or XRSTOR (0F AE /5 with memory) stand, at any offset, in an immediate or
across two instructions, has to be one that makes sure afterwards that it was not jumped to:
src/vm/cpu_gate.h, rule 1.  Those are known here, by symbol.
"""
import struct
import sys

# A symbol, and how far from it the bytes may be: at it, or anywhere in the function of this size.
KNOWN = {"vcpu_pkru_close": 0, "vcpu_pkru_signal": 0, "vcpu_pkru_start": 0, "fpu_load_area": None}

PF_X = 1
SHT_SYMTAB = 2


def program_segments(data):
    """Yields (address, bytes) of each segment that may be executed."""
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, flags, at, address, _, in_file = struct.unpack_from("<IIQQQQ", data, offset + i * size)
        if kind == 1 and flags & PF_X:
            yield address, data[at:at + in_file]


def symbols(data):
    """Returns {name: (address, size)}."""
    offset, = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(count)]
    found = {}
    for section in sections:
        if section[1] != SHT_SYMTAB:
            continue
        names = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, _, _, _, value, length = struct.unpack_from("<IBBHQQ", data, at)
            end = data.index(b"\0", names + name)
            found[data[names + name:end].decode()] = value, length
    return found


def changes_pkru(a, b, c):
    return a == 0x0f and ((b == 0x01 and c == 0xef) or
                          (b == 0xae and c >> 3 & 7 == 5 and c < 0xc0))


def places(data):
    """The addresses of all such bytes."""
    for address, content in program_segments(data):
        at = content.find(b"\x0f")
        while at >= 0:
            if at + 2 < len(content) and changes_pkru(*content[at:at + 3]):
                yield address + at
            at = content.find(b"\x0f", at + 1)


def known_at(address, table):
    """The name of the known place that this is, or None.  XRSTOR64 has a prefix before it."""
    for name, reach in KNOWN.items():
        start, size = table[name]
        if start <= address <= start + (size - 1 if reach is None else reach):
            return name
    return None


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    table = symbols(data)
    missing = [name for name in KNOWN if name not in table]
    if missing:
        sys.exit("not in the program: " + ", ".join(missing))
    seen = []
    strays = 0
    for address in places(data):
        name = known_at(address, table)
        if name and name not in seen:
            seen.append(name)
            continue
        strays += 1
        inside = [(start, other) for other, (start, size) in table.items()
                  if start <= address < start + size]
        print("%#x%s could change PKRU" % (address, " in %s()" % inside[0][1] if inside else ""))
    print("%d known places, %d others" % (len(seen), strays))
    sys.exit(1 if strays or len(seen) != len(KNOWN) else 0)


main()
