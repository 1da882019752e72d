#!/usr/bin/env python3
"""Check that the interpreter's handlers end in jumps, not in calls.

  check_tail_calls.py OBJECT_FOLDER

A handler ends in `return op[1].fn(...)` (src/exec/interpret/op.h, rule 5), a branch in that of its
target.  If the compiler makes a call of it, the stack grows with each instruction.  struct op has 32
bytes and fn is its first member, so such a call is `call *0x20(register)`, or of a branch `call
*(register)` or `call *register`.  Nothing else in those files is the first; the others are also how
the run loop calls an op, and how thunks are called.
"""
import glob
import os
import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
CALL_NEXT = re.compile(r"\bcallq?\s+\*0x20\(%r\w+\)")
CALL_TARGET = re.compile(r"\bcallq?\s+\*((0x0)?\(%r\w+\)|%r\w+)$")
PASSED = {"descriptor_part"}  # functions that call one they were passed
CALLERS = re.compile(r"src_exec_interpret_(interpret|thunk|vector|vector_memory|fpu_\w+)\.c\.o$")


def main():
    objects = sorted(glob.glob(os.path.join(sys.argv[1], "src_exec_interpret_*.o")))
    if not objects:
        sys.exit("there are no objects in %s" % sys.argv[1])
    offenders = []
    for path in objects:
        listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], check=True,
                                 capture_output=True, text=True).stdout
        function = "?"
        for line in listing.splitlines():
            match = FUNCTION.match(line)
            if match:
                function = match.group(1)
            elif CALL_NEXT.search(line) or (CALL_TARGET.search(line) and function not in PASSED and
                                            not CALLERS.search(path)):
                offenders.append("%s: %s() calls the next handler" % (os.path.basename(path),
                                                                      function))
    for offender in offenders:
        print(offender)
    print("%d objects, %d calls that should be jumps" % (len(objects), len(offenders)))
    sys.exit(1 if offenders else 0)


main()
