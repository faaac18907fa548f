echo x >f
echo x >g
setfattr -n user.a -v test f
setcap cap_net_raw+ep g
tar --xattrs --xattrs-include='*' -cf t.tar f g
rm f g
