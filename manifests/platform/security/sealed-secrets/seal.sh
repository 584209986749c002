#!/usr/bin/env bash
# Generates all secrets of an environment (secrets.txt), seals them with a certificate, and writes them to
# manifests/clusters/ENVIRONMENT/secrets. Unsealed secrets are never written to a disk.
#
#   seal.sh ENVIRONMENT CERTIFICATE      the certificate: kubeseal --fetch-cert
#
# Set the new passwords in the databases as well, because the users of MySQL and MongoDB are created only once.
set -euo pipefail

if [ $# -ne 2 ] || [ ! -r "$2" ]; then
  echo "usage: $0 ENVIRONMENT CERTIFICATE (a readable file; kubeseal --fetch-cert prints your controller's certificate)" >&2
  exit 64
fi
here="$(cd "$(dirname "$0")" && pwd)"
environment="$1"
certificate="$(realpath "$2")"
target="$here/../../../clusters/$environment/secrets"
if [ ! -d "$target" ]; then
  echo "$0: no environment \`$environment\` found: $target is not a folder" >&2
  exit 64
fi
for tool in kubeseal openssl; do
  command -v "$tool" >/dev/null || { echo "$0: $tool is required but not on the PATH" >&2; exit 69; }
done

declare -A made=()

# Sets `value` to a template with all placeholders replaced.
fill() {
  local template="$1" kind name
  value=''
  while [[ "$template" =~ ^([^$]*)\$\{([a-z]+):([A-Za-z0-9_-]+)\}(.*)$ ]]; do
    value+="${BASH_REMATCH[1]}"
    kind="${BASH_REMATCH[2]}"
    name="${BASH_REMATCH[3]}"
    template="${BASH_REMATCH[4]}"
    if [ -z "${made[$kind:$name]:-}" ]; then
      case "$kind" in
        # Letters and digits only, so that the value needs no escaping in a URI.
        random) made[$kind:$name]="$(openssl rand -base64 96 | tr -dc 'A-Za-z0-9' | cut -c 1-32)" ;;
        key) made[$kind:$name]="$(openssl rand -base64 756 | tr -d '\n')" ;;
        ask)
          if [ -z "${!name:-}" ]; then read -rsp "$name: " "${name?}" </dev/tty && echo >&2; fi
          made[$kind:$name]="${!name:?must not be empty}"
          ;;
        *) echo "$0: secrets.txt: \${$kind:…} is not valid: must be random, key or ask" >&2; exit 65 ;;
      esac
    fi
    value+="${made[$kind:$name]}"
  done
  value+="$template"
}

declare -A data=()
order=()
while read -r namespace secret key template; do
  case "$namespace" in '' | '#'*) continue ;; esac
  [ -n "$template" ] || { echo "$0: secrets.txt: $namespace $secret $key: must have a value" >&2; exit 65; }
  fill "$template"
  id="$namespace/$secret"
  if [ -z "${data[$id]:-}" ]; then order+=("$id"); fi
  data[$id]+="  $key: $(printf '%s' "$value" | base64 -w 0)"$'\n'
done <"$here/secrets.txt"

# All or none, because in a partly new set the passwords do not match.
sealed="$(mktemp -d)"
trap 'rm -rf "$sealed"' EXIT
{
  echo "# Made by seal.sh from secrets.txt (manifests/platform/security/sealed-secrets)."
  echo "apiVersion: kustomize.config.k8s.io/v1beta1"
  echo "kind: Kustomization"
  echo "resources:"
} >"$sealed/kustomization.yaml"
for id in "${order[@]}"; do
  file="${id/\//-}.yaml"
  printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  namespace: %s\n  name: %s\ndata:\n%s' \
    "${id%/*}" "${id#*/}" "${data[$id]}" |
    kubeseal --cert "$certificate" --format yaml >"$sealed/$file"
  sed -i '/creationTimestamp: null/d' "$sealed/$file"
  echo "- $file" >>"$sealed/kustomization.yaml"
done
rm -f "$target"/*.yaml
mv "$sealed"/*.yaml "$target/"
printf 'sealed %s: %s\n' "$environment" "${order[*]}" >&2
