mkdir -p d/e/f d/g
chmod 700 d/e
chmod 1755 d/g
chmod 2750 d/e/f
