#!/usr/bin/env bash
# Runs govulncheck (its command is given) over all modules.
# Exit codes: 0 nothing found, 3 something found, 75 the database cannot be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
govulncheck=("$@")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

status=0
"${govulncheck[@]}" ./... 2>&1 | tee "$log" || status=$?
if ((status != 0)) && grep -q 'fetching vulnerabilities' "$log"; then
  echo "vuln: not run: the vulnerability database cannot be reached" >&2
  exit 75
fi
exit "$status"
