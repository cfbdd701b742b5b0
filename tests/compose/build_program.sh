#!/bin/sh
# Builds the compose program from its Go module, for machines without the plugin of Docker, and prints its path.
# The program is cached below ~/.cache by the digest of what it is built from.
set -eu

here=$(cd "$(dirname "$0")/program" && pwd)
digest=$(cat "$here/go.mod" "$here/go.sum" "$here/tools.go" | sha256sum | cut -c 1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/molecule
program=$cache/docker-compose-$digest

mkdir -p "$cache"
exec 9>"$cache/compose.lock"
flock 9
if [ ! -x "$program" ]; then
  cd "$here"
  # A name ending in `.new` is no finished program.
  GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$program.new" \
    github.com/docker/compose/v2/cmd >&2
  mv "$program.new" "$program"
fi
echo "$program"
