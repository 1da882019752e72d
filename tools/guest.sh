#!/bin/sh
# guest.sh DIR: make DIR/vmlinuz, Debian's cloud kernel, and DIR/initramfs.cpio, busybox with a shell
# and the kernel's modules for virtio devices.
# What is there and newer than its sources is left alone.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$1
mkdir -p "$dir"
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

modules='virtio_pci virtio_blk virtio_net virtio_console virtio-rng virtio_balloon
    9p 9pnet_virtio virtiofs vmw_vsock_virtio_transport'

fetch_kernel() {
    "$here/fetch.sh" 'linux-image-[0-9]*-cloud-amd64' linux-image-cloud-amd64
}

if [ ! -e "$dir/vmlinuz" ]; then
    deb=$(fetch_kernel)
    work=$(mktemp -d "$dir/unpack.XXXXXX")
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --wildcards './boot/vmlinuz-*'
    mv "$work"/boot/vmlinuz-* "$dir/vmlinuz"
    rm -rf "$work"
    work=
fi

init=$here/../guest/initramfs/init
if [ ! -e "$dir/initramfs.cpio" ] || [ "$init" -nt "$dir/initramfs.cpio" ] ||
    [ "$0" -nt "$dir/initramfs.cpio" ] || [ "$here/mkinitramfs.py" -nt "$dir/initramfs.cpio" ]; then
    kernel=$(fetch_kernel)
    work=$(mktemp -d "$dir/unpack.XXXXXX")
    dpkg-deb --fsys-tarfile "$kernel" | tar -x -C "$work" --wildcards './lib/modules/*'
    busybox=/bin/busybox
    status=$(dpkg-query -W -f '${db:Status-Status}' busybox-static 2>/dev/null || true)
    if [ "$status" != installed ]; then # not worth replacing the user's own busybox package for
        deb=$("$here/fetch.sh" busybox-static)
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --wildcards './bin/busybox'
        busybox=$work/bin/busybox
    fi
    # shellcheck disable=SC2086
    python3 "$here/mkinitramfs.py" --busybox "$busybox" --init "$init" \
        --modules "$work"/lib/modules/* $modules -- "$dir/initramfs.cpio"
fi
