mkdir -p t/real
ln -s real t/link
tar -cf one.tar -C t real link
rm t/link
mkdir t/link
echo x >t/link/f
tar -cf two.tar -C t link/f
rm -r t
