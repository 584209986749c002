#!/usr/bin/env bash
# Builds the tools that the tests need with Go into a folder. Tools that are up to date are not built again.
#
#   build.sh FOLDER
#
# Each tool is a separate module, so that tools do not affect each other's dependency versions; go.sum is committed.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: $0 FOLDER" >&2
  exit 64
fi
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
cd "$(dirname "$0")"
command -v go >/dev/null || { echo "$0: go is not on the PATH; install Go 1.26 or later" >&2; exit 69; }

# build MODULE PACKAGE [FLAGS…]: the tool gets the name of its package.
build() {
  local module="$1" package="$2" tool stamp
  shift 2
  tool="$(basename "$(realpath -m "$module/$package")")"
  stamp="$(cat "$module"/*.go "$module/go.mod" "$module/go.sum" build.sh | sha256sum | cut -d ' ' -f 1)"
  if [ -x "$folder/$tool" ] && [ "$(cat "$folder/.$tool" 2>/dev/null)" = "$stamp" ]; then return; fi
  echo "building $tool (a minute or two, once)" >&2
  (cd "$module" && go build -mod=readonly -trimpath -ldflags '-s -w' "$@" -o "$folder/$tool" "$package")
  echo "$stamp" >"$folder/.$tool"
}

# Seals secrets, and unseals them in a cluster.
for tool in kubeseal controller; do
  build kubeseal github.com/bitnami/sealed-secrets/cmd/$tool
done
# Only the Kubernetes service discovery, because all of them are a gigabyte of modules, and some cannot be downloaded.
# Prometheus' web pages are not built because the tag builtinassets is not set.
for tool in promtool prometheus; do
  build prometheus github.com/prometheus/prometheus/cmd/$tool -tags remove_all_sd,enable_kubernetes_sd,netgo
done
for exporter in nginx/nginx-prometheus-exporter oliver006/redis_exporter prometheus-community/elasticsearch_exporter \
  prometheus/mysqld_exporter; do
  build exporters github.com/$exporter
done
# Generates Prometheus' configuration from monitors, serves its metrics to autoscalers, and simulates nodes.
build prometheus-operator github.com/prometheus-operator/prometheus-operator/cmd/operator
build prometheus-adapter sigs.k8s.io/prometheus-adapter/cmd/adapter
build kwok sigs.k8s.io/kwok/cmd/kwok
# The lifecycle stages of nodes, pods and volumes from kwok's module, because the program does not include any.
stages="$(cd kwok && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage"
for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
  pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete \
  volume/fast/pv-bind volume/fast/pv-delete volume/fast/pvc-delete volume/fast/pvc-provision; do
  echo ---
  cat "$stages/$stage.yaml"
done >"$folder/kwok-stages.yaml"
# Checks the prose. This is the latest version whose modules can all be downloaded.
build vale github.com/vale-cli/vale/v3/cmd/vale
# The JSON Patch library of the API server.
build json-patch .
