mkdir x x/setgid-d x/sticky-d
for f in suid sgid sticky none; do echo $f >x/$f; done
chmod 4755 x/suid
chmod 2755 x/sgid
chmod 1755 x/sticky
chmod 640 x/none
chmod 2755 x/setgid-d
chmod 1777 x/sticky-d
