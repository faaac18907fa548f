echo x >f
tar -cf t.tar f
echo garbage >>t.tar
rm f
