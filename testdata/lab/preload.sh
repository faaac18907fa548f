#!/bin/sh
# Gives the stand-in bases to a Docker engine, or to a registry as HOST/base/NAME:TAG.
#
#   preload.sh BASES docker COMMAND...     COMMAND is a docker client, e.g. `docker` or `reference.sh docker DIR`
#   preload.sh BASES registry HOST         over plain HTTP
#
# BASES is a folder made by ../bases/make.sh. Needs skopeo.
set -eu
[ $# -ge 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bases=$1 kind=$2
shift 2
tar=$(mktemp -d)
trap 'rm -rf "$tar"' EXIT
while IFS='=' read -r name layout; do
  source=oci:${layout#oci-layout://}
  case $kind in
    docker)
      rm -f "$tar/image.tar"
      skopeo copy -q "$source" "docker-archive:$tar/image.tar:$name"
      "$@" load -q <"$tar/image.tar"
      ;;
    registry) skopeo copy -q --dest-tls-verify=false "$source" "docker://$1/base/$name" ;;
    *) echo "preload.sh: docker or registry, not $kind" >&2; exit 2 ;;
  esac
done <"$bases/names"
