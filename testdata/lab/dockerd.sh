#!/bin/sh
# A private Docker engine, apart from any other on the machine.
#
#   dockerd.sh start DIR [SOCKET]     data, pid and log under DIR; SOCKET defaults to DIR/docker.sock
#   dockerd.sh stop DIR
#
# Prints DOCKER_HOST=... once it answers. Needs root; installs Debian's docker.io where there is no dockerd.
set -eu
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
socket=${3:-$dir/docker.sock}

answers() { DOCKER_HOST=unix://$socket docker version >/dev/null 2>&1; }

start() {
  command -v dockerd >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null
  if ! answers; then
    setsid dockerd -H "unix://$socket" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" \
      --bridge=none --iptables=false >"$dir/dockerd.log" 2>&1 </dev/null &
    n=0
    until answers; do
      n=$((n + 1))
      [ $n -lt 150 ] || { echo "dockerd.sh: no answer after 30 s:" >&2; tail -20 "$dir/dockerd.log" >&2; exit 1; }
      sleep 0.2
    done
  fi
  echo "DOCKER_HOST=unix://$socket"
}

stop() {
  [ -f "$dir/dockerd.pid" ] || return 0
  pid=$(cat "$dir/dockerd.pid")
  kill "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  # The engine leaves its network namespace mounted.
  for left in "$dir"/exec/netns/*; do
    [ ! -e "$left" ] || umount "$left"
  done
}

case $action in
  start) start ;;
  stop) stop ;;
  *) echo "dockerd.sh: start or stop, not $action" >&2; exit 2 ;;
esac
