#!/bin/sh
# Builds the image of workspaces and prints its name: build.sh [BASE [NAME]].
# The build uses pip's settings of this machine: its index, and the certificates by which it is reached.
set -eu

base=${1:-python:3.11-slim-bookworm}
name=${2:-molecule-workspace:latest}
root=$(cd "$(dirname "$0")/../.." && pwd)
pip() { "${PYTHON:-python3}" -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | tail -n 1; }
index=${PIP_INDEX_URL:-$(pip index-url)}
certificates=${PIP_CERT:-$(pip cert)}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/deploy/workspace" "$context/distributions/molecule-agent"
cp "$root/deploy/workspace/Dockerfile" "$root/deploy/workspace/"*requirements.txt "$context/deploy/workspace/"
cp "$root/distributions/molecule-agent/pyproject.toml" "$root/distributions/molecule-agent/README.md" \
  "$context/distributions/molecule-agent/"
cp -R "$root/molecule_agent" "$root/molecule_http" "$root/LICENSE" "$context/"
find "$context" -name __pycache__ -prune -exec rm -rf {} +
# The engine's cache compares times, too.
find "$context" -exec touch -d @0 {} +

set -- --build-arg "BASE=$base" --build-arg PIP_DEFAULT_TIMEOUT=180
[ -z "$index" ] || set -- "$@" --build-arg "PIP_INDEX_URL=$index"
if [ -n "$certificates" ]; then
  cp "$certificates" "$context/certificates.pem"
  touch -d @0 "$context/certificates.pem"
  set -- "$@" --build-arg PIP_CERT=/build/certificates.pem
fi
DOCKER_BUILDKIT=0 docker build --quiet --network host "$@" --tag "$name" --file "$context/deploy/workspace/Dockerfile" \
  "$context" >/dev/null
echo "$name"
