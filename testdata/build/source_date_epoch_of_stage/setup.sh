echo x >a
touch -d @1700000402 a
tar -cf t.tar a
touch -d @1700000999 t.tar
