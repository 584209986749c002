#!/usr/bin/env bash
# Builds the tools that tests of the manifests need, with Go, into a folder; what is there and up to date is left alone.
#
#   build.sh FOLDER
#
# Each tool is a module of its own, so that none changes the versions that another is built with; go.sum is committed.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: $0 FOLDER" >&2
  exit 64
fi
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
cd "$(dirname "$0")"
command -v go >/dev/null || { echo "$0: go is not on the PATH; install Go 1.26 or later" >&2; exit 69; }

# build MODULE PACKAGE [FLAGS…]
build() {
  local module="$1" package="$2" stamp
  shift 2
  stamp="$(cat "$module/go.mod" "$module/go.sum" build.sh | sha256sum | cut -d ' ' -f 1)"
  if [ -x "$folder/$module" ] && [ "$(cat "$folder/.$module" 2>/dev/null)" = "$stamp" ]; then return; fi
  echo "building $module (a minute or two, once)" >&2
  (cd "$module" && go build -mod=readonly -trimpath -ldflags '-s -w' "$@" -o "$folder/$module" "$package")
  echo "$stamp" >"$folder/.$module"
}

build kubeseal github.com/bitnami/sealed-secrets/cmd/kubeseal
# Of the ways to discover targets only Kubernetes': all of them are a gigabyte of modules, and some cannot be had.
build promtool github.com/prometheus/prometheus/cmd/promtool -tags remove_all_sd,enable_kubernetes_sd,netgo
