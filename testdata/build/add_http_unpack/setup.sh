mkdir t
echo fetched >t/f.txt
tar -czf t.tar.gz --owner=7 --group=8 -C t f.txt
rm -r t
