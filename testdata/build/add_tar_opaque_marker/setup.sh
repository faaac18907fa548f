mkdir -p t/d
touch t/d/.wh..wh..opq
echo y >t/d/new
tar -cf t.tar -C t d
rm -r t
