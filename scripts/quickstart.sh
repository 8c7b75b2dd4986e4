#!/usr/bin/env bash
# Shows regsync at work on this machine: two real registries on loopback, a real image for
# two platforms, a mirror of it, and a second run that finds it up to date. All files but bin/regsync are in
# one temporary folder, which is removed at the end, and nothing is left running.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
started=()

cleanup() {
  local pid
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }

# regsync shows the command before it runs it.
regsync() {
  printf '\n$ regsync %s\n' "$*"
  bin/regsync "$@"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port prints the first unused port from $1 on.
free_port() {
  local port=$1
  while answers "$port"; do
    port=$((port + 1))
  done
  echo "$port"
}

# start_registry runs a registry that keeps its images in memory, at port $1.
start_registry() {
  "$work/registry" serve --addr 127.0.0.1 --port "$1" --store-type mem --api-delete >"$work/registry-$1.log" 2>&1 &
  started+=("$!")
  local attempt
  for ((attempt = 0; attempt < 100; attempt++)); do
    answers "$1" && return
    sleep 0.1
  done
  cat "$work/registry-$1.log" >&2
  echo "quickstart: the registry at port $1 does not answer" >&2
  return 1
}

say "1. Build regsync"
make --no-print-directory build
go build -o "$work/registry" github.com/olareg/olareg/cmd/olareg

say "2. Start two registries on loopback"
source_port=$(free_port 5001)
start_registry "$source_port"
mirror_port=$(free_port 5002)
start_registry "$mirror_port"
export SOURCE="127.0.0.1:$source_port" MIRROR="127.0.0.1:$mirror_port"
# The credentials, the store and the state of the user are neither read nor written.
export DOCKER_CONFIG="$work/docker" REGSYNC_STATE="$work/state" REGSYNC_STORE="$work/store"
echo "source: $SOURCE   mirror: $MIRROR"

say "3. Build an image for two platforms, and push it to the source"
for arch in amd64 arm64; do
  CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' \
    -o "$work/hello-$arch" ./scripts/quickstart/hello
done
go run ./scripts/pack -program hello "$work/hello" 1.0 linux/amd64="$work/hello-amd64" linux/arm64="$work/hello-arm64"
regsync copy "oci:$work/hello:1.0" "$SOURCE/demo/hello:1.0"
regsync copy "$SOURCE/demo/hello:1.0" "$SOURCE/demo/hello:latest"
regsync tags "$SOURCE/demo/hello"

say "4. Mirror the repository with configs/quickstart.yaml"
regsync sync -c configs/quickstart.yaml

say "5. Mirror it again: everything is up to date"
regsync sync -c configs/quickstart.yaml

say "6. Compare the digests of source and mirror"
regsync digest "$SOURCE/demo/hello:1.0"
regsync digest "$MIRROR/demo/hello:1.0"
if [[ $(bin/regsync digest "$SOURCE/demo/hello:1.0") != $(bin/regsync digest "$MIRROR/demo/hello:1.0") ]]; then
  echo "quickstart: the digests differ" >&2
  exit 1
fi

cat <<'NEXT'

It works. What to try next:

  bin/regsync copy --help                                                    how to copy images
  bin/regsync copy docker.io/library/alpine:3.22 oci:./mirror/alpine:3.22    from Docker Hub to a folder
  bin/regsync sync -c configs/dockerhub-to-layout.yaml --dry-run             what a mirror of Docker Hub would copy
  less configs/quickstart.yaml                                               the configuration that was used here
  less docs/configuration.md                                                 all settings of a configuration
NEXT
