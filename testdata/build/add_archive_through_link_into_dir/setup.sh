mkdir t
echo x >t/f
tar -cf t.tar -C t f
rm -r t
