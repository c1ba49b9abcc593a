#!/usr/bin/env bash
# Resolves one lock a role: names, versions and hashes, for every platform and Python at once.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() {
  local name=$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "$@" pyproject.toml -o "requirements/$name.txt"
  echo "requirements/$name.txt"
}
lock core
lock serving --extra serving
lock local --extra local
lock train --extra train
lock dev --extra dev
