mkdir -p t/d
echo x >t/d/f
n=$(printf 'n%0130d' 1)
echo y >"t/$n"
ln -s "$n" t/s
ln t/d/f t/h
tar --format=gnu -cf g.tar -C t .
tar --format=ustar -cf u.tar -C t d h
tar --format=v7 -cf v.tar -C t d h
rm -r t
