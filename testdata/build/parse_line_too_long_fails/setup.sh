python3 -c 'print("LABEL test=" + "a" * 65536)' >>Dockerfile
