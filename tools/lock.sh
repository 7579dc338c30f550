#!/usr/bin/env bash
# Writes requirements/lock-*.txt: the newest versions of everything that the other lists there allow,
# for each Python from 3.10 on. Run it through `make lock`, then run all tests.
set -euo pipefail
cd "$(dirname "$0")/.."

"${1:-python3}" -m venv .venv-lock
.venv-lock/bin/python -m pip install --quiet uv==0.13.9

lock() {
  local name=$1
  shift
  .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    --output-file "requirements/lock-$name.txt" "${@/#/requirements/}"
  echo "requirements/lock-$name.txt"
}

for distro in jazzy kilted; do
  lock "$distro" build.txt "build-$distro.txt" run.txt bags.txt "run-$distro.txt" \
    cluster.txt parquet.txt test.txt video.txt
done
# Python 3.10 alone, with the versions of Ubuntu 22.04 in place of those that are allowed.
.venv-lock/bin/uv pip compile --quiet --python-version 3.10 --python-platform x86_64-manylinux_2_28 \
  --upgrade --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
  --override requirements/jammy.txt --output-file requirements/lock-jammy.txt \
  requirements/{build,build-jazzy,run,bags,run-jazzy,cluster,parquet,test,video}.txt
echo requirements/lock-jammy.txt
lock bench bench.txt run-jazzy.txt
lock bench-newest bench-newest.txt
lock docs docs.txt
