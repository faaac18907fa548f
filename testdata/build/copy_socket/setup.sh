python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("s.sock")'
chmod 600 s.sock
