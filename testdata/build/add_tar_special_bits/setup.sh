mkdir -p t/suid-d t/sgid-d t/sticky-d
for f in suid sgid sticky; do echo $f >t/$f; done
chmod 4755 t/suid t/suid-d
chmod 2755 t/sgid t/sgid-d
chmod 1755 t/sticky t/sticky-d
tar -cf t.tar --owner=3 --group=4 -C t suid suid-d sgid sgid-d sticky sticky-d
rm -r t
