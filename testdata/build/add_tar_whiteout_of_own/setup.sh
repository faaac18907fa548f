mkdir t
echo x >t/a
echo x >t/.wh.a
echo y >t/.wh.nothing
tar -cf t.tar -C t a .wh.a .wh.nothing
rm -r t
