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

# fuzz runs one target. At the end of its time, go test sometimes fails with this error alone, because a worker was slow to
# stop: it has found nothing then.
fuzz() {
  local output
  if output=$(go test "$@" 2>&1); then
    echo "$output"
    return
  fi
  echo "$output"
  [[ $output == *"context deadline exceeded"* && $output != *"Failing input"* ]]
}

for target in "${targets[@]}"; do
  file=${target%%:*} name=${target##*:}
  echo "fuzz: == $(dirname "$file") $name"
  fuzz "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "$time" || failed=1
done
exit "$failed"
