#!/bin/sh
# Makes the image molecule-base from Debian packages, for machines that cannot pull one, and prints its name.
# The file system is cached below ~/.cache by its recipe; needs root, debootstrap and a Docker Engine.
set -eu

suite=bookworm
packages=python3,python3-venv,ca-certificates
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
recipe=$(echo "$suite $packages 1" | sha256sum | cut -c 1-12)
image=molecule-base:$recipe
cache=${XDG_CACHE_HOME:-$HOME/.cache}/molecule
archive=$cache/base-$recipe.tar

exec 3>&1 1>&2
mkdir -p "$cache"
exec 9>"$cache/base.lock"
flock 9
if [ ! -f "$archive" ]; then
  work=$(mktemp -d "$cache/base.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  debootstrap --variant=minbase --include="$packages" "$suite" "$work/root" "$mirror" >"$cache/debootstrap.log" \
    || { tail -n 5 "$cache/debootstrap.log"; exit 1; }
  cd "$work/root"
  # Nothing in a workspace reads these, and they are more than half of the files.
  rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/doc/* usr/share/man/* usr/share/info/* \
    usr/share/locale/* dev/*
  cd ..
  tar --create --numeric-owner --sort=name --mtime=@0 --directory root --file new.tar .
  mv new.tar "$archive"
fi
docker image inspect "$image" >/dev/null 2>&1 \
  || docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' "$archive" "$image" >/dev/null
echo "$image" >&3
