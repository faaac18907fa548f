#!/bin/sh
# A module proxy in a folder, with one module: https://go.dev/ref/mod#goproxy-protocol
set -eu
module=example.com/greet
version=v1.2.0
mkdir -p "$1/$module/@v" "work/$module@$version"
printf 'module %s\n\ngo 1.19\n' $module >"work/$module@$version/go.mod"
printf 'package greet\n\n// Hello greets.\nfunc Hello() string { return "hello" }\n' >"work/$module@$version/greet.go"
(cd work && zip -qr "$1/$module/@v/$version.zip" "$module@$version")
cp "work/$module@$version/go.mod" "$1/$module/@v/$version.mod"
printf '{"Version":"%s","Time":"2024-01-01T00:00:00Z"}' $version >"$1/$module/@v/$version.info"
echo $version >"$1/$module/@v/list"
rm -rf work
