#!/usr/bin/env bash
# Builds the release of the last commit twice, the second time in another folder, with another umask and an empty build
# cache, and compares the checksums. PLATFORMS are the platforms to build, as for scripts/dist.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

git clone --quiet --shared . "$work/source" # the last commit may be another one meanwhile
mkdir -p "$work/elsewhere/tmp"
"$work/source/scripts/dist.sh" "$work/first"
(umask 077 && TMPDIR="$work/elsewhere/tmp" GOCACHE="$work/cache" "$work/source/scripts/dist.sh" "$work/elsewhere/second")
diff "$work/first/SHA256SUMS" "$work/elsewhere/second/SHA256SUMS" || {
  echo "dist-check: the two builds differ" >&2
  exit 1
}
echo "dist-check: both builds are equal"
