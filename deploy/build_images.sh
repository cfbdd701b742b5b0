#!/bin/sh
# Builds the images of the plane, of workspaces, of PostgreSQL and of the balancer: build_images.sh [BASE [DEBIAN]].
# BASE is an image with Python 3.11 or newer and venv, DEBIAN one of Debian 12. Tags end in $TAG, or `latest`.
# The build uses pip's settings of this machine: its index, and the certificates by which it is reached.
set -eu

base=${1:-python:3.11-slim-bookworm}
debian=${2:-debian:bookworm-slim}
tag=${TAG:-latest}
root=$(cd "$(dirname "$0")/.." && pwd)
pip() { "${PYTHON:-python3}" -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | tail -n 1; }
index=${PIP_INDEX_URL:-$(pip index-url)}
certificates=${PIP_CERT:-$(pip cert)}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cd "$root"
mkdir "$context/deploy"
cp -R deploy/*.py deploy/roles.sql deploy/Dockerfile deploy/postgres deploy/balancer "$context/deploy/"
cp -R services gateway protos molecule_a2a molecule_cli molecule_http org-templates workspace-configs-templates \
  pyproject.toml uv.lock "$context/"
find "$context" -name __pycache__ -prune -exec rm -rf {} +

set -- --build-arg PIP_DEFAULT_TIMEOUT=180
[ -z "$index" ] || set -- "$@" --build-arg "PIP_INDEX_URL=$index"
if [ -n "$certificates" ]; then
  cp "$certificates" "$context/certificates.pem"
  set -- "$@" --build-arg PIP_CERT=/build/certificates.pem
fi
# The engine's cache compares times, too.
find "$context" -exec touch -d @0 {} +

build() {  # NAME BASE DOCKERFILE [ARGUMENT...]
  image=$1:$tag from=$2 file=$3
  shift 3
  docker build --quiet --network host --build-arg "BASE=$from" "$@" --tag "$image" --file "$context/$file" "$context" >/dev/null
  echo "$image"
}
build molecule-plane "$base" deploy/Dockerfile "$@"
build molecule-postgres "$debian" deploy/postgres/Dockerfile
build molecule-balancer "$debian" deploy/balancer/Dockerfile
deploy/workspace/build.sh "$base" "molecule-workspace:$tag"

# The containers that use the engine need the group of its socket.
if ! grep -qs '^DOCKER_GID=' deploy/.env && [ -S /var/run/docker.sock ]; then
  echo "DOCKER_GID=$(stat -c %g /var/run/docker.sock)" >>deploy/.env
fi
