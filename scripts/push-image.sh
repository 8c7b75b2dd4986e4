#!/usr/bin/env bash
# Pushes the container image of a release, with the regsync of that release, as VERSION and, if that is the newest release,
# as latest.
#
#   scripts/push-image.sh DIR REPOSITORY   DIR is what scripts/dist.sh has filled
#
# With REGISTRY_USER and REGISTRY_PASSWORD it logs in first, for this push alone.
set -euo pipefail

dist=$1 repository=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

image=$(echo "$dist"/regsync_*_image.oci.tar)
version=$(basename "$image" _image.oci.tar)
version=${version#regsync_}
tag=${version//+/-}
platform=linux_$(go env GOHOSTARCH)

mkdir "$work/image"
tar --extract --file "$image" --directory "$work/image"
tar --extract --gzip --file "$dist/regsync_${version}_$platform.tar.gz" --directory "$work"
regsync=$work/regsync_${version}_$platform/regsync

if [[ -n ${REGISTRY_USER:-} ]]; then
  export DOCKER_CONFIG=$work/docker
  "$regsync" login --username "$REGISTRY_USER" --password-stdin "${repository%%/*}" <<<"$REGISTRY_PASSWORD"
fi
destinations=("$repository:$tag")
newest=$(git tag --list 'v*' | grep -v - | sort --version-sort | tail -n 1 || true)
if [[ v$version == "$newest" ]]; then
  destinations+=("$repository:latest")
fi
"$regsync" copy "oci:$work/image:$tag" "${destinations[@]}"
