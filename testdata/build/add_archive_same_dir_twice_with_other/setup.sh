mkdir t
echo file >t/a
tar -cf one.tar -C t .
chmod 750 t
rm -r t
