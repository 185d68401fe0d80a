# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Bare Debian roots with Tern's sources, for the other scripts here. Needs to be root; installs
# debootstrap. What debootstrap makes is kept in $TERN_ROOTS if that is set: a suite is fetched once.
set -euo pipefail

sources=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
roots=$(mktemp -d)
pristine=${TERN_ROOTS:-$roots/pristine}
log=$roots/log

# The output of a command is shown only if it fails.
quietly() {
  "$@" >"$log" 2>&1 </dev/null || {
    tail -n 60 "$log" >&2
    echo "failed: $*" >&2
    exit 1
  }
}

clean_up() {
  local root
  for root in "$roots"/*/; do
    ! mountpoint -q "${root}proc" || umount "${root}proc"
  done
  rm -rf --one-file-system "$roots"
}
trap clean_up EXIT

# make_root NAME SUITE: a root that has nothing but SUITE's minbase, and Tern's sources in /tern.
make_root() {
  local root=$roots/$1 suite=$2
  if ! command -v debootstrap >/dev/null; then
    quietly apt-get -qq update
    quietly env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
      debootstrap debian-archive-keyring
  fi
  if [[ ! -d $pristine/$suite ]]; then
    mkdir -p "$pristine"
    rm -rf --one-file-system "$pristine/$suite.part"
    quietly debootstrap --variant=minbase "$suite" "$pristine/$suite.part" \
      http://deb.debian.org/debian
    mv "$pristine/$suite.part" "$pristine/$suite"
  fi
  cp -a "$pristine/$suite" "$root"
  mount -t proc proc "$root/proc"
  mkdir "$root/tern"
  tar -C "$sources" --exclude=./build --exclude=./out --exclude=./.git -c . | tar -C "$root/tern" -x
}

# in_root NAME COMMAND...
in_root() {
  local root=$roots/$1
  shift
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
    DEBIAN_FRONTEND=noninteractive "$@"
}
