python3 -c 'print("LABEL test=" + "a" * 65524)' >>Dockerfile
