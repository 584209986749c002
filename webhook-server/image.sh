#!/usr/bin/env bash
# Builds the container image of the webhook: one static binary and nothing else, running as a numeric user.
#
#   webhook-server/image.sh [DESTINATION]
#
# DESTINATION is any destination of `buildah push`: oci-archive:FILE (default: target/image/pratique.tar), docker-archive:FILE,
# docker://REGISTRY/NAME:TAG, … The same binary and commit give the same image, byte for byte.
set -euo pipefail
cd "$(dirname "$0")/.."

target="$(uname -m)-unknown-linux-musl"
for needed in buildah cargo musl-gcc; do
  command -v "$needed" >/dev/null || { echo "$0: $needed is not on the PATH; Debian: apt-get install buildah musl-tools" >&2; exit 69; }
done
if ! rustc --print target-libdir --target "$target" | xargs test -d; then
  rustup target add "$target"
fi

# Use the time of the commit as the time of the image, so that builds are reproducible.
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct 2>/dev/null || echo 0)"
version="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"
export "CC_${target//-/_}=musl-gcc"
# Leave the playground out, because it is for local use and not for a cluster.
unset PRATIQUE_SITE
cargo build --profile dist --locked --quiet --package webhook-server --bin pratique --target "$target"
binary="${CARGO_TARGET_DIR:-target}/$target/dist/pratique"

# Use a temporary store, so that nothing is left behind and the existing stores are not used.
store="$(mktemp -d)"
trap 'rm -rf "$store"' EXIT
in_store() { buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"; }
container="$(in_store from scratch)"
in_store copy --quiet --chmod 0555 "$container" "$binary" /pratique >/dev/null
in_store config --os linux --user 65532:65532 --workingdir / --entrypoint '["/pratique"]' --cmd serve --port 8443 \
  --label org.opencontainers.image.title=pratique --label "org.opencontainers.image.version=$version" \
  --label org.opencontainers.image.licenses=Apache-2.0 "$container"
image="$(in_store commit --quiet --timestamp "$SOURCE_DATE_EPOCH" --format oci --rm "$container")"

mkdir -p "${CARGO_TARGET_DIR:-target}/image"
destination="${1:-oci-archive:${CARGO_TARGET_DIR:-target}/image/pratique.tar:pratique:$version}"
in_store push --quiet "$image" "$destination" >/dev/null
echo "$destination"
