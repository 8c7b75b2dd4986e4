#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, each for FUZZTIME (default 30s).
# FUZZTOTAL=240 divides that many seconds among all targets instead, as CI does.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t targets < <(grep -rEoH --include='*_test.go' '^func (Fuzz[A-Za-z0-9_]+)' cmd internal pkg | sed 's/func //' | sort)
time=${FUZZTIME:-30s}
if [[ -n ${FUZZTOTAL:-} ]]; then
  time=$((FUZZTOTAL / ${#targets[@]}))s
fi
echo "fuzz: ${#targets[@]} targets, $time each"
failed=0
for target in "${targets[@]}"; do
  file=${target%%:*} name=${target##*:}
  echo "fuzz: == $(dirname "$file") $name"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "$time" || failed=1
done
exit "$failed"
