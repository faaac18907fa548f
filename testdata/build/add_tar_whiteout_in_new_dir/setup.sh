mkdir -p t/d
touch t/d/.wh.one
echo y >t/d/new
tar -cf t.tar -C t d
rm -r t
