mkdir -p t/sub
echo 1 >t/a
echo 2 >t/sub/b
ln -s a t/l
ln t/a t/h
chmod 750 t/sub
chmod 4755 t/a
tar --owner=12 --group=34 --zstd -cf t.tar.zst -C t .
rm -r t
