mkdir -p t/a
echo file >t/a/f
tar -cf one.tar -C t a
rm -r t
