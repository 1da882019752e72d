#!/bin/sh
# check.sh BUILD BUILD_FUZZ: everything that `make check` does but the guest's files: build all, run the
# layer check, the unit tests, the boot tests and a few seconds of each fuzzer.  Goes on after a
# failure, so that one run tells everything, and ends with status 1 if there was one.
set -eu

cd "$(dirname "$0")/.."
build=$1
build_fuzz=$2
rm -f "$build/meson-logs/testlog.json" "$build_fuzz/meson-logs/testlog.json"

tools/setup.sh build check fuzz
if [ ! -e "$build/build.ninja" ]; then
    meson setup "$build" -Dtests=true
elif ! [ -e "$build/.with-tests" ]; then
    meson configure "$build" -Dtests=true
fi
touch "$build/.with-tests"
ninja -C "$build"
tools/configure_fuzz.sh "$build_fuzz"
ninja -C "$build_fuzz"

status=0
meson test -C "$build" --print-errorlogs || status=1
meson test -C "$build_fuzz" --print-errorlogs || status=1
exit $status
