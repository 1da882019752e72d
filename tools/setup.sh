#!/bin/sh
# setup.sh GROUP...: install the Debian packages of these groups that are missing.
#
# Groups: build, check, keys, fuzz, bench, debian, format.  Says nothing and needs no rights where all are there.
# On other systems than Debian it only says what is needed.
set -eu

packages_of() {
    case $1 in
    build)
        echo gcc libc6-dev meson ninja-build python3 pkg-config libnbd-dev libslirp-dev libuv1-dev zlib1g-dev liblzma-dev \
            libzstd-dev liblz4-dev libjson-c-dev
        ;;
    check) echo gdb libcmocka-dev libzydis-dev passt ;;
    keys) echo qemu-system-x86 binutils ;;
    fuzz) echo clang libclang-rt-14-dev ;;
    bench) ;;
    debian) echo debian-archive-keyring e2fsprogs fakechroot fakeroot mmdebstrap openssh-client ;;
    format) echo clang-format-14 ;;
    *)
        echo "setup.sh: there is no group '$1'" >&2
        exit 2
        ;;
    esac
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    needed=
    for group in "$@"; do
        needed="$needed $(packages_of "$group")"
    done
    echo "This is not Debian.  What is needed is, by Debian's names:$needed" >&2
    exit 0
fi

missing=
for group in "$@"; do
    for package in $(packages_of "$group"); do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
    echo "Debian packages are missing and will be installed with sudo:$missing"
else
    {
        echo "Debian packages are missing, and there is no sudo here. As root, run:"
        echo "    apt-get install$missing"
    } >&2
    exit 1
fi

install_missing() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}
if ! install_missing; then
    if ! { $as_root apt-get update && install_missing; }; then
        {
            echo "The installation of Debian packages failed. As root, run:"
            echo "    apt-get update && apt-get install$missing"
        } >&2
        exit 1
    fi
fi
