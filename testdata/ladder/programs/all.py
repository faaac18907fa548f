import fcntl, mmap, multiprocessing, os, pty, socket, sqlite3, struct, subprocess, tempfile, threading


def work(number):
    for _ in range(20):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x")
            file.flush()
            assert os.stat(file.name).st_size == 1
        assert subprocess.run(["true"]).returncode == 0


threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[it.start() for it in threads]
[it.join() for it in threads]
with multiprocessing.Pool(4) as pool:
    assert sum(pool.map(abs, range(100))) == 4950

server = socket.socket(socket.AF_UNIX)
server.bind("/tmp/s")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect("/tmp/s")
accepted, _ = server.accept()
accepted.send(b"hi")
assert client.recv(2) == b"hi"
os.chmod("/tmp/s", 0o777)
child = os.fork()
if child == 0:
    os.setgid(1001)
    os.setuid(1000)
    other = socket.socket(socket.AF_UNIX)
    other.connect("/tmp/s")
    other.recv(1)
    own = socket.socket(socket.AF_UNIX)
    own.bind("/tmp/own")
    os.chmod("/tmp/own", 0o640)
    assert os.stat("/tmp/own")[4:6] == (1000, 1001)
    os._exit(0)
accepted, _ = server.accept()
peer = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
assert struct.unpack("3i", peer) == (child, 1000, 1001), struct.unpack("3i", peer)
accepted.send(b"x")
assert os.waitpid(child, 0) == (child, 0)
datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagrams.bind("/tmp/d")
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.sendto(b"x", "/tmp/d")
assert datagrams.recv(1) == b"x"
sender.connect("/tmp/d")
sender.send(b"y")
assert datagrams.recv(1) == b"y"

database = sqlite3.connect("/tmp/x.db")
database.execute("create table t(a)")
database.execute("pragma journal_mode=wal")
database.execute("insert into t values(2)")
database.commit()
assert database.execute("select count(*) from t").fetchone() == (1,)

pid, terminal = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-c", "tty; echo hello"])
told = b""
try:
    while piece := os.read(terminal, 100):
        told += piece
except OSError:
    pass
assert b"/dev/pts/" in told and b"hello" in told, told

with open("/tmp/l", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_EX)
memory = mmap.mmap(-1, 4096)
memory[0] = 7
assert os.path.realpath("/proc/self/exe") == "/usr/bin/python3.11"
assert os.readlink("/proc/self/cwd") == "/tmp" and os.getcwd() == "/tmp"
assert open("/proc/self/comm").read() == "python3\n"
assert open("/proc/self/cmdline").read().startswith("python3\0all.py\0")
assert "/tmp/l" not in [os.path.realpath("/proc/self/fd/" + it) for it in os.listdir("/proc/self/fd")]
program = os.memfd_create("a")
os.write(program, open("/bin/true", "rb").read())
assert subprocess.run(["/proc/self/fd/%d" % program], pass_fds=[program]).returncode == 0
folder = os.open("/srv", os.O_RDONLY)
os.fchdir(folder)
assert os.getcwd() == "/srv"
os.execv("/bin/echo", ["echo", "executed"])
