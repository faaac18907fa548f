#!/bin/sh
# The bases of testdata/build, as OCI layouts, from this machine's busybox (busybox-static) in a second.
#
#   small.sh OUTDIR
#
# Makes OUTDIR/base (a shell, users, no more), OUTDIR/parent (the same with everything that a config can hand
# down, ONBUILD included), OUTDIR/toolbox (base with stand-ins for compilers and package managers, see
# toolbox/) and OUTDIR/names. Needs python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
rm -rf "$1"
mkdir -p "$1"
out=$(cd "$1" && pwd)
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022
tree=$out/.tree
mkdir -p "$tree"
(
  cd "$tree"
  mkdir -p bin dev etc home/app opt proc root run sbin srv sys tmp usr/bin usr/sbin usr/local/bin usr/lib var/cache var/lib var/log var/tmp
  chmod 0700 root
  chmod 1777 tmp var/tmp
  chmod 0555 proc sys
  cp -L "$(command -v busybox)" bin/busybox
  chmod 0755 bin/busybox
  bin/busybox --list | while read -r applet; do
    [ -e "bin/$applet" ] || ln -s busybox "bin/$applet"
  done
  cp "$here/etc/passwd" "$here/etc/group" etc/
  echo 'app:x:1000:1000::/home/app:/bin/sh' >>etc/passwd
  echo 'app:x:1000:' >>etc/group
  # A stub that a builder mounts over must not make a difference.
  printf '127.0.0.1\tlocalhost\n' >etc/hosts
  : >etc/resolv.conf
  ln -s /usr/lib lib
  ln -s ../run var/run
)
layout() {
  name=$1
  shift
  python3 "$here/layout.py" "$out/$name" --config "$out/.$name.json" --tag latest --own home/app=1000:1000 \
    --layer "$tree::ADD rootfs.tar / # buildkit" "$@"
  echo "$name:latest=oci-layout://$out/$name:latest" >>"$out/names"
}
printf '{"Env":["PATH=%s"],"Cmd":["/bin/sh"]}' "$path" >"$out/.base.json"
layout base
cat >"$out/.parent.json" <<JSON
{"Env":["PATH=$path","FROM_PARENT=yes","OVERRIDE=parent"],"User":"app","WorkingDir":"/home/app",
"Entrypoint":["/bin/echo","parent"],"Cmd":["of","all"],"ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},
"Labels":{"from":"parent","kept":"yes"},"StopSignal":"SIGQUIT","Shell":["/bin/sh","-e","-c"],
"Healthcheck":{"Test":["CMD","true"],"Interval":5000000000,"Retries":2},
"OnBuild":["ENV TRIGGERED=1","RUN echo triggered > /home/app/triggered"]}
JSON
layout parent
printf '{"Env":["PATH=%s"]}' "$path" >"$out/.toolbox.json"
layout toolbox --layer "$here/toolbox::COPY toolbox / # buildkit"
rm -rf "$tree"
cat "$out/names"
