mkdir t
echo 1 >t/in
tar --mtime=@1 --sort=name -cf t.tar -C t .
rm -r t
