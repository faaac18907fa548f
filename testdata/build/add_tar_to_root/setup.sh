mkdir -p t/opt/tool
echo 1 >t/opt/tool/f
tar -cf t.tar -C t opt
rm -r t
