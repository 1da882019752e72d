#!/bin/sh
# check_keys.sh BUILD: attack the engine hybrid on a CPU with protection keys, which QEMU emulates: on a
# kernel that hides the frames of signals from guest code (Linux 6.12, of Debian's backports, which
# `make check` takes too when it is there), and on an older one that does not.
set -eu

cd "$(dirname "$0")/.."
build=$1
newer=$build/guest/vmlinuz-newer

tools/setup.sh build check keys
[ -e "$build/build.ninja" ] || meson setup "$build" -Dtests=true
[ -e "$build/.with-tests" ] || meson configure "$build" -Dtests=true
touch "$build/.with-tests"
ninja -C "$build"
if [ ! -e "$newer" ]; then
    deb=$(tools/fetch.sh --suite bookworm-backports 'linux-image-[0-9]*-cloud-amd64' \
        linux-image-cloud-amd64)
    dpkg-deb --fsys-tarfile "$deb" | tar -x -O --wildcards './boot/vmlinuz-*' >"$newer.new"
    mv "$newer.new" "$newer"
fi
RINGER=$PWD/$build/ringer
RINGER_CPU=$PWD/$build/ringer-cpu
TEST_GUESTS=$PWD/$build/guest/tests
export RINGER RINGER_CPU TEST_GUESTS
for kernel in "$newer" "$build/guest/vmlinuz"; do
    tests/guest/test_attacks.py keys "$kernel"
done
