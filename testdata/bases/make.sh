#!/bin/sh
# Stand-ins for well-known base images, as OCI layouts, without a registry or a daemon.
#
#   make.sh OUTDIR [NAME...]      NAME: busybox node20 debian static (default: all)
#
# Each OUTDIR/NAME is an OCI layout; OUTDIR/names lists what each stands for, one `IMAGE=oci-layout://DIR:TAG`
# a line, ready for --build-context. What is there already is kept. Needs: gcc make python3 bzip2 apt-get
# (busybox comes from Debian's source package), node and npm for node20, mmdebstrap and root for debian.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- busybox node20 debian static
work=$out/.work
mkdir -p "$work"
ca=/etc/ssl/certs/ca-certificates.crt
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SOURCE_DATE_EPOCH=1704067200
KCONFIG_NOTIMESTAMP=1
export SOURCE_DATE_EPOCH KCONFIG_NOTIMESTAMP LC_ALL=C
umask 022

# The source of a Debian package, from the mirrors that the machine uses, without touching the machine's own apt lists.
debian_source() {
  mkdir -p "$work/apt/lists/partial"
  apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    grep '/debian/* ' | sort -u >"$work/apt/sources.list"
  set -- "$1" -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
  package=$1
  shift
  apt-get "$@" -qq update
  (cd "$work" && apt-get "$@" -qq -o APT::Sandbox::User=root source --download-only "$package")
}

busybox_binary() {
  [ ! -x "$work/busybox" ] || return 0
  debian_source busybox
  rm -rf "$work/src"
  mkdir "$work/src"
  tar -xf "$work"/busybox_*.orig.tar.bz2 -C "$work/src" --strip-components=1
  (
    cd "$work/src"
    make -s defconfig >/dev/null
    sed -i -e 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' -e 's/^CONFIG_TC=y/# CONFIG_TC is not set/' .config
    yes '' | make -s oldconfig >/dev/null
    make -s -j"$(nproc)" busybox >"$work/busybox.log" 2>&1 || { tail -20 "$work/busybox.log" >&2; exit 1; }
  )
  cp "$work/src/busybox" "$work/busybox"
}

busybox_tree() {
  tree=$work/busybox-tree
  rm -rf "$tree"
  mkdir -p "$tree"
  (
    cd "$tree"
    mkdir -p bin dev etc/apk etc/ssl/certs home lib media/cdrom mnt opt proc root run sbin srv sys tmp \
      usr/bin usr/lib usr/local/bin usr/local/lib usr/sbin var/cache var/empty var/lib var/log var/spool var/tmp
    chmod 0700 root
    chmod 1777 tmp var/tmp
    chmod 0555 proc sys var/empty
    cp "$work/busybox" bin/busybox
    chmod 0755 bin/busybox
    "$work/busybox" --list-full | while read -r applet; do
      [ "$applet" = bin/busybox ] || [ -e "$applet" ] || { mkdir -p "$(dirname "$applet")" && ln -s /bin/busybox "$applet"; }
    done
    rm -f linuxrc
    ln -s ../run var/run
    cp "$here/etc/passwd" "$here/etc/group" "$here/etc/shadow" "$here/etc/profile" etc/
    chmod 0640 etc/shadow
    printf '/bin/sh\n/bin/ash\n' >etc/shells
    printf 'ID=alpine\nNAME="Alpine-like busybox"\nVERSION_ID=3.20.0\n' >etc/os-release
    printf '3.20.0\n' >etc/alpine-release
    printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >etc/hosts
    [ ! -f "$ca" ] || cp "$ca" etc/ssl/certs/ca-certificates.crt
    ln -s certs/ca-certificates.crt etc/ssl/cert.pem
  )
}

# Copies a program with the shared libraries that it loads.
with_libraries() {
  cp -L "$1" "$2"
  ldd "$1" | sed -n -e 's/.*=> \(\/[^ ]*\).*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
    mkdir -p "$tree$(dirname "$library")"
    [ -e "$tree$library" ] || cp -L "$library" "$tree$library"
  done
}

make_busybox() {
  busybox_binary
  busybox_tree
  printf '{"Env":["PATH=%s"],"Cmd":["/bin/sh"]}' "$path" >"$work/busybox.json"
  layout busybox --layer "$tree::ADD rootfs.tar.gz / # buildkit" --own etc/shadow=0:42 \
    --tag 3.20 --tag latest
}

make_node20() {
  busybox_binary
  busybox_tree
  base=$work/node-base
  rm -rf "$base"
  mv "$tree" "$base"
  node=$(readlink -f "$(command -v node)")
  modules=$(dirname "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")")
  tree=$work/node-tree
  rm -rf "$tree"
  mkdir -p "$tree/etc" "$tree/home/node" "$tree/usr/local/bin" "$tree/usr/local/lib/node_modules" "$tree/usr/bin" "$tree/opt"
  chmod 2755 "$tree/home/node"
  { cat "$here/etc/passwd"; echo 'node:x:1000:1000::/home/node:/bin/sh'; } >"$tree/etc/passwd"
  { cat "$here/etc/group"; echo 'node:x:1000:'; } >"$tree/etc/group"
  { cat "$here/etc/shadow"; echo 'node:!:19700:0:99999:7:::'; } >"$tree/etc/shadow"
  chmod 0640 "$tree/etc/shadow"
  with_libraries "$node" "$tree/usr/local/bin/node"
  with_libraries "$(readlink -f "$(command -v curl)")" "$tree/usr/bin/curl"
  for module in npm corepack; do
    cp -R "$modules/$module" "$tree/usr/local/lib/node_modules/$module"
  done
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$tree/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$tree/usr/local/bin/npx"
  ln -s ../lib/node_modules/corepack/dist/corepack.js "$tree/usr/local/bin/corepack"
  ln -s node "$tree/usr/local/bin/nodejs"
  chmod -R go-w "$tree/usr/local/lib/node_modules"
  script=$work/node-entrypoint
  rm -rf "$script"
  mkdir -p "$script/usr/local/bin"
  cp "$here/docker-entrypoint.sh" "$script/usr/local/bin/docker-entrypoint.sh"
  chmod 0755 "$script/usr/local/bin/docker-entrypoint.sh"
  printf '{"Env":["PATH=%s","NODE_VERSION=%s","NODE_EXTRA_CA_CERTS=%s"],"Entrypoint":["docker-entrypoint.sh"],"Cmd":["node"]}' \
    "$path" "$(node --version | tr -d v)" "$ca" >"$work/node20.json"
  layout node20 --own etc/shadow=0:42 --own home/node=1000:1000 --tag 20-alpine --tag 18-alpine \
    --layer "$base::ADD rootfs.tar.gz / # buildkit" \
    --layer "$tree::RUN /bin/sh -c addgroup -g 1000 node && adduser -u 1000 -G node -s /bin/sh -D node # buildkit" \
    --layer "$script::COPY docker-entrypoint.sh /usr/local/bin/ # buildkit"
}

make_debian() {
  mmdebstrap --quiet --variant=minbase --include=ca-certificates \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="if [ -f $ca ]; then cp $ca \"\$1/etc/ssl/certs/\"; fi" bookworm "$work/debian.tar" 2>"$work/debian.log" ||
    { tail -20 "$work/debian.log" >&2; exit 1; }
  printf '{"Env":["PATH=%s"],"Cmd":["bash"]}' "$path" >"$work/debian.json"
  layout debian --layer "$work/debian.tar::# debian.sh --arch 'amd64' out/ 'bookworm'" --tag bookworm-slim
  rm -f "$work/debian.tar"
}

# Neither a shell nor a CA bundle nor a passwd file: one static program.
make_static() {
  tree=$work/static-tree
  rm -rf "$tree"
  mkdir -p "$tree"
  gcc -O2 -s -static -o "$tree/hello" "$here/hello.c"
  printf '{"Env":["PATH=%s"],"Cmd":["/hello"]}' "$path" >"$work/static.json"
  layout static --layer "$tree::COPY hello / # buildkit" --tag latest
}

layout() {
  name=$1
  shift
  rm -rf "$out/$name.new"
  python3 "$here/layout.py" "$out/$name.new" --config "$work/$name.json" "$@"
  mv "$out/$name.new" "$out/$name"
}

for name in "$@"; do
  case $name in
    busybox | node20 | debian | static) [ -f "$out/$name/index.json" ] || "make_$name" ;;
    *) echo "make.sh: no base is called $name (busybox, node20, debian, static)" >&2; exit 2 ;;
  esac
done
{
  [ ! -d "$out/busybox" ] || printf 'alpine:3.20=oci-layout://%s/busybox:3.20\nalpine:latest=oci-layout://%s/busybox:latest\nbusybox:latest=oci-layout://%s/busybox:latest\n' "$out" "$out" "$out"
  [ ! -d "$out/node20" ] || printf 'node:20-alpine=oci-layout://%s/node20:20-alpine\nnode:18-alpine=oci-layout://%s/node20:18-alpine\n' "$out" "$out"
  [ ! -d "$out/debian" ] || printf 'debian:bookworm-slim=oci-layout://%s/debian:bookworm-slim\n' "$out"
  [ ! -d "$out/static" ] || printf 'static:latest=oci-layout://%s/static:latest\n' "$out"
} >"$out/names"
cat "$out/names"
