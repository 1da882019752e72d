#!/bin/sh
# check.sh BUILD BUILD_FUZZ: everything that `make check` does but the files of `make run`'s guest: build
# all, fetch other guests, run the layer check, the unit tests, the boot tests and a few seconds of
# each fuzzer.  Goes on after a failure, so that one run tells everything, and ends with status 1 if
# there was one.
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
tools/real_guests.sh "$build/guest" || echo "Some guests could not be fetched: their tests are skipped."
tools/configure_fuzz.sh "$build_fuzz"
ninja -C "$build_fuzz"

# A line for each test, and not Meson's own picture of progress, nor so much space between the
# columns: both need more than 80.
failed=$build/meson-logs/failed
rm -f "$failed"
run_tests() {
    { meson test -C "$1" --no-suite debian --print-errorlogs --timeout-multiplier 4 || touch "$failed"; } |
        sed -u 's/ OK       / OK/'
}
run_tests "$build"
run_tests "$build_fuzz"
[ ! -e "$failed" ]
