mkdir -p d/keys-25.0.0/bin d/keys-25.0.0/lib
echo '#!/bin/sh' >d/keys-25.0.0/bin/kc.sh
chmod 755 d/keys-25.0.0/bin/kc.sh
echo lib >d/keys-25.0.0/lib/keys.jar
tar --owner=0 --group=0 --sort=name --mtime=@1700000000 -czf context/keys-dist.tar.gz -C d .
rm -r d
