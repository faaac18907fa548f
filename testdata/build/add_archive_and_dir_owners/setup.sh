mkdir a
echo x >a/of-root
echo x >a/of-99
chmod 640 a/*
chown 99:99 a/of-99
tar -cf a.tar a
