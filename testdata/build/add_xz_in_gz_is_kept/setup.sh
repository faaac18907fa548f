echo x >f
tar -cJf t.tar.xz f
gzip -n t.tar.xz
tar -czf t.tar.gz f
gzip -nc t.tar.gz >t.tar.gz.gz
rm f
