#!/bin/sh
# fetch.sh PACKAGE: print the path of PACKAGE's .deb file, fetched by APT if it is not there yet.
#
# A name with a * is any package of that name: one that is there already, else what the package
# after it, a metapackage, depends on:  fetch.sh 'linux-image-*-cloud-amd64' linux-image-cloud-amd64
#
# The files lie in $RINGER_CACHE, else in $XDG_CACHE_HOME/ringer, else in ~/.cache/ringer: `make clean`
# does not remove them, and nothing is fetched twice.  Nothing is installed, and no rights are needed
# (except for `apt-get update`, where this machine's lists of packages are empty).
set -eu

package=$1
metapackage=${2:-}
cache=${RINGER_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/ringer}
mkdir -p "$cache"

newest_there() {
    # shellcheck disable=SC2012,SC2086
    ls -t "$cache"/$package\_*.deb 2>/dev/null | head -n 1
}

file=$(newest_there)
if [ -n "$file" ]; then
    echo "$file"
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    echo "fetch.sh: there is no APT here: put Debian's package $package (its .deb) into $cache" >&2
    exit 1
fi
known=${metapackage:-$package}
if [ -z "$(apt-cache show "$known" 2>/dev/null)" ]; then
    if [ "$(id -u)" -eq 0 ]; then
        apt-get update >&2
    elif command -v sudo >/dev/null 2>&1; then
        echo "This machine's lists of packages are empty: sudo apt-get update" >&2
        sudo apt-get update >&2
    else
        echo "fetch.sh: APT does not know $known. As root, run: apt-get update" >&2
        exit 1
    fi
fi
if [ -n "$metapackage" ]; then
    package=$(apt-cache depends "$metapackage" |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || {
        echo "fetch.sh: APT does not say which kernel $metapackage depends on" >&2
        exit 1
    }
fi

# First into a folder beside, so that an interrupted download is not taken for a whole one.
partial=$(mktemp -d "$cache/partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT
trap 'exit 1' INT TERM HUP
sandbox=
[ "$(id -u)" -ne 0 ] || sandbox='-o APT::Sandbox::User=root'
echo "Fetching Debian's $package (once; it stays in $cache)" >&2
# shellcheck disable=SC2086
if ! (cd "$partial" && apt-get $sandbox -q download "$package" >&2); then
    echo "fetch.sh: $package could not be fetched; is the network there? (apt-get update may help)" >&2
    exit 1
fi
mv "$partial"/*.deb "$cache/"
newest_there
