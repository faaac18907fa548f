mkdir t
ln -s ../../../tmp/target t/symlink
ln -s .. t/up
ln -s /one/two t/abs
tar -cf links.tar -C t symlink up abs
rm -r t
