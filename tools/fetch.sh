#!/bin/sh
# fetch.sh [--arch ARCH | --suite SUITE] PACKAGE [METAPACKAGE]: print the path of PACKAGE's .deb file, fetched by APT
# if it is not there yet.
#
# A name with a * is any package of that name: one that is there already, else what the package
# after it, a metapackage, depends on:  fetch.sh 'linux-image-*-cloud-amd64' linux-image-cloud-amd64
#
# The files lie in $RINGER_CACHE, else in $XDG_CACHE_HOME/ringer, else in ~/.cache/ringer: `make clean`
# does not remove them, and nothing is fetched twice.  Nothing is installed, and no rights are needed
# (except for `apt-get update`, where this machine's lists of packages are empty).
#
# Another architecture than this machine's has its own lists of packages, beside the files: APT reads
# the machine's sources, but writes only there.  So it need not be made known to dpkg.  Likewise for
# another suite of Debian's archive than the machine has (bookworm-backports); its packages have a
# folder of their own.
set -eu

own_arch=$(dpkg --print-architecture 2>/dev/null || echo amd64)
arch=$own_arch
suite=
case $1 in
--arch)
    arch=$2
    shift 2
    ;;
--suite)
    suite=$2
    shift 2
    ;;
esac
package=$1
metapackage=${2:-}
cache=${RINGER_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/ringer}${suite:+/$suite}
mkdir -p "$cache"

# apt TOOL ARGUMENTS...: apt-get or apt-cache, for the architecture that is wanted.
apt() {
    tool=$1
    shift
    if [ "$(id -u)" -eq 0 ]; then
        set -- -o APT::Sandbox::User=root "$@"
    fi
    if [ -n "$suite" ]; then
        set -- -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null "$@"
    fi
    if [ -n "$own_lists" ]; then
        set -- -o APT::Architecture="$arch" -o APT::Architectures::="$arch" \
            -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
            -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
            -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
            -o Acquire::Languages=none "$@"
    fi
    "$tool" "$@"
}

known() {
    [ -n "$(apt apt-cache show "${metapackage:-$package}" 2>/dev/null)" ]
}

newest_there() {
    # shellcheck disable=SC2012,SC2086
    ls -t "$cache"/${package}_*_"$arch".deb 2>/dev/null | head -n 1
}

file=$(newest_there)
if [ -n "$file" ]; then
    echo "$file"
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    echo "fetch.sh: there is no APT here: put Debian's package $package for $arch (its .deb) into $cache" >&2
    exit 1
fi

updated=
update_own_lists() {
    updated=yes
    echo "Fetching Debian's lists of packages for ${suite:-$arch} (they stay in $state)" >&2
    # One source that fails, another's mirror being renewed, is no matter if the package is known then.
    apt apt-get -q update >&2 || true
}

state=$cache/apt-${suite:-$arch}
own_lists=
if [ -n "$suite" ] || [ "$arch" != "$own_arch" ]; then
    own_lists=yes
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >"$state/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian $suite main" >"$state/sources.list"
    known || update_own_lists
    known || {
        echo "fetch.sh: APT does not know ${metapackage:-$package} for ${suite:-$arch}; is the network there?" >&2
        exit 1
    }
elif ! known; then
    if [ "$(id -u)" -eq 0 ]; then
        apt-get update >&2
    elif command -v sudo >/dev/null 2>&1; then
        echo "This machine's lists of packages are empty: sudo apt-get update" >&2
        sudo apt-get update >&2
    else
        echo "fetch.sh: APT does not know ${metapackage:-$package}. As root, run: apt-get update" >&2
        exit 1
    fi
fi

# What the metapackage depends on, once more after each update of the lists.
resolve() {
    [ -n "$metapackage" ] || return 0
    package=$(apt apt-cache depends "$metapackage" |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || {
        echo "fetch.sh: APT does not say which kernel $metapackage depends on" >&2
        exit 1
    }
}
resolve

# First into a folder beside, so that an interrupted download is not taken for a whole one.
partial=$(mktemp -d "$cache/partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT
trap 'exit 1' INT TERM HUP

download() {
    echo "Fetching Debian's $package for $arch (once; it stays in $cache)" >&2
    (cd "$partial" && apt apt-get -q download "$package" >&2)
}
if ! download; then
    # Lists of our own may be old, and the package gone from the archive since.
    if [ -z "$own_lists" ] || [ -n "$updated" ] || ! { update_own_lists; resolve; download; }; then
        echo "fetch.sh: $package could not be fetched; is the network there? (apt-get update may help)" >&2
        exit 1
    fi
fi
mv "$partial"/*.deb "$cache/"
newest_there
