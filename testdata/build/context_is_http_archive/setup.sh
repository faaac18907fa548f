umask 022
mkdir t
mv Dockerfile t/
echo one >t/foo
tar -czf t.tgz --owner=5 --group=6 -C t .
rm -r t
