#!/usr/bin/env python3
"""A web server for the files below a folder, repositories included: web.py FOLDER

Listens on a port of its own choice on 127.0.0.1, writes the port, and ends when its standard input does.
"""
import http.server
import os
import sys
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main():
    os.chdir(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


main()
