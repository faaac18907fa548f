python3 -c 'print(("# " + "x" * 4096 + "\n") * 4300)' >>Dockerfile
