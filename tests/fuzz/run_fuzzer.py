#!/usr/bin/env python3
"""Run fuzzers over their kept corpora, and on for some seconds.

  run_fuzzer.py [--seconds N] [--keep DIR] FUZZER...

FUZZER is a program build-fuzz/tests/fuzz/fuzz_NAME; its corpus is tests/fuzz/corpus/NAME.  What is
found that reaches new code is dropped, or with --keep stays in DIR/NAME, from which the next run goes
on.  A crash leaves its input beside the fuzzer, and ends this with status 1.
"""
import argparse
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
               "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def run(fuzzer, seconds, keep):
    """True if nothing was found to be wrong."""
    name = os.path.basename(fuzzer)
    corpus = os.path.join(HERE, "corpus", name[len("fuzz_"):])
    os.makedirs(corpus, exist_ok=True)
    environment = dict(os.environ, **ENVIRONMENT)
    with tempfile.TemporaryDirectory() as dropped:
        found = os.path.join(keep, name[len("fuzz_"):]) if keep else dropped
        os.makedirs(found, exist_ok=True)
        command = [fuzzer, "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1",
                   "-artifact_prefix=%s-" % os.path.abspath(fuzzer)]
        inputs = len(os.listdir(corpus)) + len(os.listdir(found))
        print("%s: %d kept inputs, then %d s of new ones" % (name, inputs, seconds), flush=True)
        replay = subprocess.run(command + ["-runs=0", corpus, found], env=environment,
                                capture_output=True, text=True)
        if replay.returncode:
            print(replay.stderr[-8000:])
            return False
        hunt = subprocess.run(command + ["-max_total_time=%d" % seconds, found, corpus],
                              env=environment, capture_output=True, text=True)
        print("\n".join(hunt.stderr.splitlines()[-12:] if not hunt.returncode
                        else [hunt.stderr[-8000:]]), flush=True)
    return hunt.returncode == 0


def main():
    parser = argparse.ArgumentParser(description="Run fuzzers over their kept corpora.")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--keep", metavar="DIR")
    parser.add_argument("fuzzers", nargs="+")
    options = parser.parse_args()
    results = [run(fuzzer, options.seconds, options.keep) for fuzzer in options.fuzzers]
    sys.exit(0 if all(results) else 1)


main()
