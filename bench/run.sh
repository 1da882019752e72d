#!/bin/sh
# run.sh BUILD: make what is measured, then measure it (bench.py).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
out=$build/bench
mkdir -p "$out/bin"
if [ ! -e "$out/bin/workload" ] || [ "$here/workload.c" -nt "$out/bin/workload" ]; then
    gcc -O2 -static -Wall -Wextra -o "$out/bin/workload" "$here/workload.c" -lm
fi
if [ ! -e "$out/bin/flow" ] || [ "$here/flow.c" -nt "$out/bin/flow" ]; then
    gcc -O2 -static -Wall -Wextra -o "$out/bin/flow" "$here/flow.c"
fi
ninja -C "$build" guest/tests/traps.elf >/dev/null
gcc -O2 -Wall -Wextra -o "$out/bin/signals" "$here/signals.c"
# The guest's busybox, so that both sides run the same program.
busybox=/bin/busybox
if [ "$(dpkg-query -W -f '${db:Status-Status}' busybox-static 2>/dev/null || true)" != installed ]; then
    dpkg-deb --fsys-tarfile "$("$here/../tools/fetch.sh" busybox-static)" | tar -x -C "$out" ./bin/busybox
    busybox=$out/bin/busybox
fi
cp -f "$busybox" "$out/bin/busybox.new"
mv "$out/bin/busybox.new" "$out/bin/busybox"
ln -sf busybox "$out/bin/sh"
if [ ! -e "$out/lib/modules" ] || [ "$build/guest/vmlinuz" -nt "$out/lib/modules" ]; then
    rm -rf "$out/lib"
    dpkg-deb --fsys-tarfile "$("$here/../tools/fetch.sh" 'linux-image-[0-9]*-cloud-amd64' \
        linux-image-cloud-amd64)" | tar -x -C "$out" --wildcards './lib/modules/*'
    touch "$out/lib/modules"
fi
python3 "$here/../tools/mkinitramfs.py" --busybox "$busybox" --init "$here/init" \
    --add "$out/bin/workload:bin/workload" --add "$out/bin/flow:bin/flow" --add "$here/suite.sh:suite.sh" \
    --modules "$out"/lib/modules/* virtio_pci virtio_net -- "$out/initramfs.cpio"
python3 "$here/net.py" --ringer "$build/ringer" --kernel "$build/guest/vmlinuz" \
    --initramfs "$out/initramfs.cpio"
exec python3 "$here/bench.py" --ringer "$build/ringer" --kernel "$build/guest/vmlinuz" \
    --initramfs "$out/initramfs.cpio" --bin "$out/bin" --suite "$here/suite.sh" --traps "$build/guest/tests/traps.elf"
