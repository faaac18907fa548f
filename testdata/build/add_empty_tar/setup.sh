head -c 10240 /dev/zero >e.tar
