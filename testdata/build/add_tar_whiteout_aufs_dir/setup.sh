mkdir -p t/.wh..wh.plnk
touch t/.wh..wh.plnk/one t/.wh..wh.aufs
echo y >t/new
tar -cf t.tar -C t .
rm -r t
