mkdir t
echo 1 >t/in
tar -cf t.tar -C t .
rm -r t
