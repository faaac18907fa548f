mkdir t
echo file >t/a
echo file >t/b
tar -cf one.tar -C t a b
rm -r t
