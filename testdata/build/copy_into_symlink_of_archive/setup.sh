mkdir t
ln -s ../tmp/target t/link
tar -cf t.tar --owner=0 --group=0 -C t link
rm -r t
