#!/usr/bin/env python3
"""Check the direction of includes, and that every header compiles alone.

  check_layers.py [--headers] [--include DIR]...

Reads tools/layers.txt.  --headers also compiles each header by itself; DIRs are for generated ones.
Prints each offence as FILE:LINE and ends with status 1 if there is one.
"""
import argparse
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def read_layers():
    """folder -> the folders that it may include."""
    layers = {}
    with open(os.path.join(ROOT, "tools", "layers.txt")) as file:
        for line in file:
            line = line.partition("#")[0].strip()
            if line:
                folder, _, allowed = line.partition(":")
                layers[folder.strip()] = set(allowed.split())
    return layers


def sources(suffixes):
    """Paths below src/, as they are written in includes."""
    for folder, _, names in sorted(os.walk(SRC)):
        for name in sorted(names):
            if name.endswith(suffixes):
                yield os.path.relpath(os.path.join(folder, name), SRC)


def may_include(layers, path, target):
    """Why the file at path may not include target; None if it may."""
    own, other = path.split("/")[0], target.split("/")[0]
    if own not in layers:
        return "folder %s is not in layers.txt" % own
    if other not in (own, "base") and other not in layers[own]:
        return "%s/ may not include %s/" % (own, other)
    own_part, other_part = (os.path.dirname(p) for p in (path, target))
    if own_part in layers and own_part != own and other == own:
        if other_part not in (own, own_part) and other_part not in layers[own_part]:
            return "%s/ may not include %s/" % (own_part, other_part)
    return None


def check_includes(layers):
    offences = []
    for path in sources((".c", ".h", ".S", ".inc", ".def")):
        with open(os.path.join(SRC, path), errors="replace") as file:
            for number, line in enumerate(file, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                bracket, target = match.groups()
                if bracket == "<" and not target.startswith("ringer/"):
                    continue
                if bracket == '"' and "/" not in target:
                    reason = "write includes from src/"
                else:
                    reason = may_include(layers, path, target)
                if reason:
                    offences.append("src/%s:%d: %s: %s" % (path, number, target, reason))
    return offences


def check_headers(directories):
    """Compile each header in a source of its own, with the project's warnings."""
    offences = []
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
             "-I", SRC, "-I", os.path.join(ROOT, "include")]
    for directory in directories:
        flags += ["-I", directory]
    public = os.path.join(ROOT, "include")
    headers = ["#include \"%s\"\n" % path for path in sources((".h",))]
    headers += ["#include <ringer/%s>\n" % name for name in sorted(os.listdir(public + "/ringer"))]
    for header in headers:
        command = [*shlex.split(os.environ.get("CC", "cc")), *flags, "-x", "c", "-"]
        result = subprocess.run(command, input=header, capture_output=True, text=True)
        if result.returncode:
            offences.append("%sdoes not compile alone:\n%s" % (header, result.stderr))
    return offences, len(headers)


def main():
    parser = argparse.ArgumentParser(description="Check the direction of includes.")
    parser.add_argument("--headers", action="store_true")
    parser.add_argument("--include", action="append", default=[])
    options = parser.parse_args()
    offences = check_includes(read_layers())
    if options.headers:
        more, count = check_headers(options.include)
        offences += more
        print("%d headers compiled alone" % count)
    for offence in offences:
        print(offence)
    sys.exit(1 if offences else 0)


main()
