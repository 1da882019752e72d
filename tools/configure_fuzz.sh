#!/bin/sh
# configure_fuzz.sh DIR: set up the build of the fuzzers in DIR, with Clang and sanitizers.
set -eu
[ ! -e "$1/build.ninja" ] || exit 0
CC=clang exec meson setup "$1" -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false
