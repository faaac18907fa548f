mkfifo -m 640 f/pipe
