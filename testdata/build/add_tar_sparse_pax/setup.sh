truncate -s 200K p
echo end >>p
tar --sparse --format=pax -cf p.tar p
rm p
