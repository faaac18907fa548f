echo x >a
tar -cf t.tar a
