#!/bin/sh
# real_guests.sh DIR: make what tests/boot/test_real_guests.py boots, from Debian's own packages:
# DIR/i386/vmlinuz-686 and vmlinuz-686-pae, DIR/i386/initramfs.cpio, DIR/memtest86+/x64.bin and ia32.bin.
#
# What is there is left alone.  Goes on after a package that cannot be fetched, and then ends with
# status 1; its tests are skipped.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$1
mkdir -p "$dir/i386" "$dir/memtest86+"
work=$(mktemp -d "$dir/unpack.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
status=0

# unpack DEB PATTERN...: the files of a package that match, below $work.
unpack() {
    deb=$1
    shift
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --wildcards "$@"
}

for flavour in 686 686-pae; do
    kernel=$dir/i386/vmlinuz-$flavour
    [ ! -e "$kernel" ] || continue
    if deb=$("$here/fetch.sh" --arch i386 "linux-image-[0-9]*-$flavour" "linux-image-$flavour"); then
        unpack "$deb" './boot/vmlinuz-*'
        mv "$work"/boot/vmlinuz-* "$kernel"
    else
        status=1
    fi
done

init=$here/../guest/initramfs/init
initramfs=$dir/i386/initramfs.cpio
if [ ! -e "$initramfs" ] || [ "$init" -nt "$initramfs" ] || [ "$here/mkinitramfs.py" -nt "$initramfs" ]; then
    if deb=$("$here/fetch.sh" --arch i386 busybox-static); then
        unpack "$deb" ./bin/busybox
        # It is run, for the list of its applets.
        python3 "$here/mkinitramfs.py" --busybox "$work/bin/busybox" --init "$init" "$initramfs" ||
            status=1
    else
        status=1
    fi
fi

if [ ! -e "$dir/memtest86+/x64.bin" ] || [ ! -e "$dir/memtest86+/ia32.bin" ]; then
    if deb=$("$here/fetch.sh" memtest86+); then
        unpack "$deb" './boot/memtest86+*.bin'
        for build in x64 ia32; do
            mv "$work/boot/memtest86+$build.bin" "$dir/memtest86+/$build.bin"
        done
    else
        status=1
    fi
fi
exit $status
