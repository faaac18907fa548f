chmod 600 d/one.txt
