#!/bin/sh
# What https://example.com has.
set -eu
cd "$1"
mkdir -p releases/latest/download work
printf '#!/bin/sh\necho tool\n' >work/tool
chmod 755 work/tool
tar -czf releases/latest/download/tool.tar.gz -C work tool
printf '#!/bin/sh\necho installed >/opt/installed\n' >install.sh
git -c init.defaultBranch=main init -q work/lib
cd work/lib
echo lib >lib.txt
git add lib.txt
git -c user.name=Jo -c user.email=jo@example.com commit -qm lib
cd ../..
git clone -q --bare work/lib lib.git
git clone -q --bare work/lib private.git
rm -rf work
