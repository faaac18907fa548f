#!/bin/sh
# A newer Docker with BuildKit, in a Debian 13 tree of its own: the builder that images are compared with.
#
#   reference.sh start DIR [SHARED...]    makes the tree once, starts its engine; SHARED folders are seen inside too
#   reference.sh docker DIR ARG...        runs the tree's docker client, in the same folder where that is shared
#   reference.sh stop DIR
#
# Needs root and mmdebstrap. The mounts live in a mount namespace of the engine's own, so that taking it down
# can never take the machine's /sys or /run with it; `stop` only ends the engine.
set -eu
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2
tree=$dir/tree
state=$dir/state

inside() {
  pid=$(cat "$dir/engine.pid")
  here=/proc/$pid/root$(pwd -P)
  [ -d "$here" ] || here=/proc/$pid/root/
  nsenter --target "$pid" --mount --root="/proc/$pid/root" --wd="$here" \
    env DOCKER_HOST=unix:///run/reference/docker.sock DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain HOME=/root \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# Runs in the new mount namespace: nothing mounted here is seen outside.
engine() {
  mount --make-rprivate /
  mount --bind "$tree" "$tree"
  for name in proc sys dev; do
    mount --rbind "/$name" "$tree/$name"
    mount --make-rslave "$tree/$name"
  done
  mount -t tmpfs tmpfs "$tree/run"
  mkdir -p "$tree/run/reference"
  mkdir -p "$state" "$tree/var/lib/reference"
  mount --bind "$state" "$tree/var/lib/reference"
  cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
  for shared in "$@"; do
    mkdir -p "$tree$shared"
    mount --rbind "$shared" "$tree$shared"
  done
  echo $$ >"$dir/engine.pid"
  exec chroot "$tree" env PATH=/usr/sbin:/usr/bin:/sbin:/bin dockerd -H unix:///run/reference/docker.sock \
    --data-root /var/lib/reference/data --exec-root /run/reference/exec --pidfile /run/reference/docker.pid \
    --bridge=none --iptables=false
}

start() {
  if [ ! -e "$tree/usr/sbin/dockerd" ] || [ ! -e "$tree/usr/bin/xz" ] || [ ! -e "$tree/usr/bin/git" ]; then
    # Made beside and renamed, in a mount namespace of its own: a run that is killed leaves no mounts and no
    # half of a tree. Nothing here is ever removed through a mount.
    ! grep -q " $dir/" /proc/self/mountinfo || { echo "reference.sh: something is mounted in $dir" >&2; exit 1; }
    rm -rf --one-file-system "$tree" "$tree.new"
    unshare --mount --propagation private mmdebstrap --quiet --variant=apt \
      --include=docker.io,docker-cli,docker-buildx,ca-certificates,iptables,xz-utils,git trixie "$tree.new"
    mv "$tree.new" "$tree"
  fi
  [ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
  setsid unshare --mount --propagation private "$0" engine "$dir" "$@" >"$dir/engine.log" 2>&1 </dev/null &
  n=0
  until [ -s "$dir/engine.pid" ] && inside docker version >/dev/null 2>&1; do
    n=$((n + 1))
    [ $n -lt 150 ] || { echo "reference.sh: no answer after 30 s:" >&2; tail -20 "$dir/engine.log" >&2; exit 1; }
    sleep 0.2
  done
}

stop() {
  [ -s "$dir/engine.pid" ] || return 0
  pid=$(cat "$dir/engine.pid")
  rm -f "$dir/engine.pid"
  kill "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
}

case $action in
  start) rm -f "$dir/engine.pid"; start "$@" ;;
  engine) engine "$@" ;;
  docker) inside docker "$@" ;;
  stop) stop ;;
  *) echo "reference.sh: start, docker or stop, not $action" >&2; exit 2 ;;
esac
