#!/usr/bin/env bash
# Resolves one lock a role: names, versions and hashes, for every platform and Python at once.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "$@"
}
lock() {
  local name=$1
  shift
  compile --python-version 3.11 "$@" pyproject.toml -o "requirements/$name.txt"
  echo "requirements/$name.txt"
}
# What runs models in an environment of its own has the same ONNX Runtime, so that a model scores the same everywhere.
# The locks lie in the packages that need them once they are installed; `requirements/` links to them.
runtime() {
  local folder=serving/pointsman_serving/$1 python=$2
  compile --python-version "$python" --constraints <(grep -o '^onnxruntime==[^ ]*' requirements/serving.txt) \
    "$folder/requirements.in" -o "$folder/requirements.txt"
  echo "$folder/requirements.txt"
}
lock core
lock serving --extra serving
lock graph --extra graph
lock operator --extra operator
lock mlflow --extra mlflow
lock postgres --extra postgres
lock local --extra local
lock train --extra train
lock dev --extra dev
runtime triton 3.11
runtime kserve_python 3.11
runtime bento 3.11
runtime storage 3.11
