mkdir t
echo x >t/.wh.gone
echo y >t/f
tar -cf t.tar -C t .wh.gone f
rm -r t
