tar -czf t.tar.gz f.txt
chmod 755 g.sh
