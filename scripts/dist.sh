#!/usr/bin/env bash
# Builds the files of a release from the last commit, on Linux. The same commit and the same Go version give the same bytes,
# wherever they are built; scripts/dist-check.sh checks that.
#
#   scripts/dist.sh [DIR [STEP...]]   DIR: dist if not given. STEP: archives, packages, image, sboms; all if not given.
#
# PLATFORMS are the platforms to build, for example PLATFORMS=linux/amd64.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath -m "${1:-dist}")
steps=("${@:2}")
if ((${#steps[@]} == 0)); then
  steps=(archives packages image sboms)
fi
read -ra platforms <<<"${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What the machine or the user has set must not change the result.
umask 022
export LC_ALL=C TZ=UTC GOFLAGS=-trimpath GOEXPERIMENT='' GOAMD64=v1 GOARM64=v8.0 GOTOOLCHAIN=local CGO_ENABLED=0
export GOWORK=off GOFIPS140=off

main() {
  if [[ -n $(ls -A "$out" 2>/dev/null) ]]; then
    echo "dist: $out is not empty" >&2
    exit 1
  fi
  if [[ -n $(git status --porcelain) ]]; then
    echo "dist: changes that are not committed are left out" >&2
  fi
  # Go records the commit and the tag in what it builds from a clone, but not from another worktree.
  git clone --quiet --shared . "$work/source"
  cd "$work/source"
  SOURCE_DATE_EPOCH=$(git -c log.showSignature=false log -1 --format=%ct)
  export SOURCE_DATE_EPOCH

  local platform step
  for platform in "${platforms[@]}"; do
    build "$platform"
  done
  build "$(go env GOHOSTOS)/$(go env GOHOSTARCH)" # to run it here
  regsync=$(binary "$(go env GOHOSTOS)/$(go env GOHOSTARCH)")
  version=$(go version -m "$regsync" | awk '$1 == "mod" { print substr($3, 2) }')
  revision=$(git rev-parse HEAD)
  generate

  mkdir -p "$out"
  for step in "${steps[@]}"; do
    "$step"
  done
  (cd "$out" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
  echo "dist: regsync $version in $out:"
  ls -sh "$out"
}

# binary prints the file of the program for a platform.
binary() { echo "$work/bin/${1/\//_}/regsync"; }

build() {
  GOOS=${1%/*} GOARCH=${1#*/} go build -buildvcs=true -ldflags '-s -w' -o "$(binary "$1")" ./cmd/regsync
}

# generate makes the man pages and the completions.
generate() {
  mkdir "$work/man" "$work/completions"
  go test ./cmd/regsync -run '^TestCommandDocsMan$' -count=1 -man "$work/man" >"$work/man.log" || {
    cat "$work/man.log" >&2
    echo "dist: the man pages cannot be generated" >&2
    exit 1
  }
  "$regsync" completion bash >"$work/completions/regsync.bash"
  "$regsync" completion zsh >"$work/completions/_regsync"
  "$regsync" completion fish >"$work/completions/regsync.fish"
}

archives() {
  local platform name
  for platform in "${platforms[@]}"; do
    name=regsync_${version}_${platform/\//_}
    mkdir "$work/$name"
    cp -r "$(binary "$platform")" LICENSE README.md README.zh-CN.md "$work/man" "$work/completions" "$work/$name/"
    pack_tar "$work" "$name" | gzip -n9 >"$out/$name.tar.gz"
    rm -r "${work:?}/$name"
  done
}

# pack_tar prints a tar archive of a file or a folder in folder $1.
pack_tar() {
  tar --create --directory "$1" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' "$2"
}

packages() {
  local platform kind
  export STAGE="$work/stage" VERSION="$version" ARCH
  mkdir -p "$STAGE/man"
  cp "$work"/man/*.1 "$STAGE/man/"
  gzip -n9 "$STAGE"/man/*.1
  cp -r "$work/completions" "$STAGE/"
  for unit in regsync.service regsync.timer; do
    # Without the comment on where to put it.
    sed -e '/^# Goes to /d' -e 's|/usr/local/bin/|/usr/bin/|' "configs/systemd/$unit" >"$STAGE/$unit"
  done
  for platform in "${platforms[@]}"; do
    if [[ $platform != linux/* ]]; then
      continue
    fi
    ARCH=${platform#*/}
    cp "$(binary "$platform")" "$STAGE/regsync"
    for kind in deb rpm; do
      go tool -modfile=tools/release/go.mod nfpm package --config scripts/package/nfpm.yaml --packager "$kind" \
        --target "$out/regsync_${version}_linux_$ARCH.$kind" >"$work/nfpm.log" || {
        cat "$work/nfpm.log" >&2
        exit 1
      }
    done
  done
}

# image makes an OCI layout in a tar archive, and the CronJob that runs it.
image() {
  local platform programs=() tag=${version//+/-} name=ghcr.io/regsync/regsync
  for platform in "${platforms[@]}"; do
    if [[ $platform == linux/* ]]; then
      programs+=("$platform=$(binary "$platform")")
    fi
  done
  (cd tools/release && go run ./roots) >"$work/roots.pem"
  go run ./scripts/pack -program regsync -user 65532 -certificates "$work/roots.pem" \
    -annotation org.opencontainers.image.title=regsync \
    -annotation "org.opencontainers.image.version=$version" \
    -annotation "org.opencontainers.image.revision=$revision" \
    -annotation org.opencontainers.image.source=https://github.com/regsync/regsync \
    -annotation org.opencontainers.image.licenses=Apache-2.0 \
    "$work/image" "$tag" "${programs[@]}"
  pack_tar "$work/image" . >"$out/regsync_${version}_image.oci.tar"
  sed "s|image: $name:.*|image: $name:$tag|" configs/kubernetes/cronjob.yaml >"$out/regsync_${version}_cronjob.yaml"
}

# sboms lists the modules in each program, as the program itself records them.
sboms() {
  local platform
  for platform in "${platforms[@]}"; do
    go tool -modfile=tools/release/go.mod cyclonedx-gomod bin -json -std -noserial -notimestamp -version "v$version" \
      -output "$out/regsync_${version}_${platform/\//_}.cdx.json" "$(binary "$platform")"
  done
}

main
