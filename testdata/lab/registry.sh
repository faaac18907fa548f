#!/bin/sh
# A real registry (Debian's docker-registry) on this machine.
#
#   registry.sh start DIR [--port N] [--auth USER:PASSWORD] [--tls]
#   registry.sh stop DIR
#
# Without --port a free one is taken. Prints REGISTRY=127.0.0.1:PORT once it answers, and CA=FILE under --tls.
set -eu
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2
port='' auth='' tls=''
while [ $# -gt 0 ]; do
  case $1 in
    --port) port=$2; shift ;;
    --auth) auth=$2; shift ;;
    --tls) tls=yes ;;
    *) echo "registry.sh: what is $1?" >&2; exit 2 ;;
  esac
  shift
done

certificate() {
  [ -f "$dir/tls.crt" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
}

config() {
  printf 'version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: true\n' "$dir/data"
  printf 'http:\n  addr: 127.0.0.1:%s\n' "$port"
  [ -z "$tls" ] || printf '  tls:\n    certificate: %s\n    key: %s\n' "$dir/tls.crt" "$dir/tls.key"
  [ -z "$auth" ] || printf 'auth:\n  htpasswd:\n    realm: lab\n    path: %s\n' "$dir/htpasswd"
}

answers() { [ "$(curl -sk --noproxy '*' -o /dev/null -w '%{http_code}' "$scheme://127.0.0.1:$port/v2/")" != 000 ]; }

start() {
  command -v docker-registry >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-registry apache2-utils >/dev/null
  [ -n "$port" ] || port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
  [ -z "$auth" ] || htpasswd -Bbn "${auth%%:*}" "${auth#*:}" >"$dir/htpasswd"
  scheme=http
  if [ -n "$tls" ]; then certificate; scheme=https; fi
  if answers; then echo "registry.sh: port $port is taken" >&2; exit 1; fi
  config >"$dir/config.yml"
  setsid docker-registry serve "$dir/config.yml" >"$dir/registry.log" 2>&1 </dev/null &
  echo $! >"$dir/registry.pid"
  n=0
  until answers; do
    n=$((n + 1))
    [ $n -lt 100 ] || { echo "registry.sh: no answer after 20 s:" >&2; tail -20 "$dir/registry.log" >&2; exit 1; }
    sleep 0.2
  done
  echo "REGISTRY=127.0.0.1:$port"
  [ -z "$tls" ] || echo "CA=$dir/tls.crt"
}

stop() {
  [ -f "$dir/registry.pid" ] || return 0
  pid=$(cat "$dir/registry.pid")
  kill "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
}

case $action in
  start) start ;;
  stop) stop ;;
  *) echo "registry.sh: start or stop, not $action" >&2; exit 2 ;;
esac
