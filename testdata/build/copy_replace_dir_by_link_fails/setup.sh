mkdir -p t/real
ln -s real t/link
