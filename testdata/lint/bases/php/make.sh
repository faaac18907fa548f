#!/bin/sh
# Ten packages as archives, which composer.json names as its repository.
set -eu
mkdir -p "$1" work
for at in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf work/*
  mkdir -p work/src
  printf '{"name":"parts/part%s","version":"1.0.0","autoload":{"psr-4":{"Parts\\\\Part%s\\\\":"src/"}}}' $at $at >work/composer.json
  printf '<?php\nnamespace Parts\\Part%s;\nfinal class Part {}\n' $at >work/src/Part.php
  head -c 300000 /dev/urandom | base64 >work/src/data.txt
  (cd work && zip -qr "$1/part$at.zip" .)
done
rm -rf work
