head -c 40000 /dev/urandom >r
tar -czf full r
head -c 20000 full >t.tar.gz
rm full r
