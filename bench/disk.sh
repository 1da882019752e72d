#!/bin/sh
# disk.sh BUILD IMAGE: make what is measured, then measure disks (disk.py); IMAGE is mkdebian's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$build/bench/bin"
gcc -O2 -static -pthread -Wall -Wextra -o "$build/bench/bin/block" "$here/block.c"
exec python3 "$here/disk.py" --ringer "$build/ringer" --kernel "$build/guest/vmlinuz" \
    --initramfs "$build/guest/initramfs.cpio" --image "$2" --block "$build/bench/bin/block"
