echo x >f
echo y >g
tar -cf a.tar f g
head -c 700 a.tar | gzip -n >t.tgz
tail -c +701 a.tar | gzip -n >>t.tgz
rm f g a.tar
