#!/bin/sh
# Twenty gems and their index, in a folder.
set -eu
mkdir -p "$1/gems" work/lib
cd work
for at in 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20; do
  head -c 200000 /dev/urandom | base64 >lib/part_$at.rb.txt
  echo "module Part$at; end" >lib/part_$at.rb
  cat >part.gemspec <<SPEC
Gem::Specification.new do |it|
  it.name = 'part_$at'
  it.version = '1.0.0'
  it.summary = 'A part'
  it.authors = ['Jo']
  it.files = ['lib/part_$at.rb', 'lib/part_$at.rb.txt']
end
SPEC
  gem build -q part.gemspec >/dev/null 2>&1
  mv part_$at-1.0.0.gem "$1/gems/"
done
cd ..
rm -rf work
gem generate_index -q -d "$1" >/dev/null
