truncate -s 200K s
echo end >>s
tar --sparse --format=gnu -cf s.tar s
rm s
