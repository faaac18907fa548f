#!/bin/sh
set -e
mkdir -p /tmp/null/rootfs/etc /tmp/null/rootfs/usr/lib/jvm
for p in "$@"; do echo $p >>/tmp/null/rootfs/etc/packages; done
ln -s ../lib/jvm /tmp/null/rootfs/usr/lib/java
