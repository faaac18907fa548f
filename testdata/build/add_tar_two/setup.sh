mkdir t
echo 1 >t/a
tar -cf one.tar -C t .
echo 2 >t/a
echo 3 >t/b
tar -cf two.tar -C t .
rm -r t
