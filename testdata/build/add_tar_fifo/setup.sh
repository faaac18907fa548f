mkdir t
mkfifo t/p
tar -cf t.tar -C t .
rm -r t
