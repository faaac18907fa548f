python3 - <<'END'
import tarfile, io
with tarfile.open('t.tar', 'w', format=tarfile.PAX_FORMAT) as t:
    def f(name, **k):
        i = tarfile.TarInfo(name); i.mtime = 1000000000; i.mode = 0o644
        for a, b in k.items(): setattr(i, a, b)
        t.addfile(i, io.BytesIO(b'x' * i.size))
    f('./a/', type=tarfile.DIRTYPE, mode=0o700)
    f('./a/b', size=3)
    f('/abs', size=1)
    f('c//d///e', size=2)
    f('a/../f', size=1)
    f('dup', size=1)
    f('dup', size=5)
    f('l', type=tarfile.SYMTYPE, linkname='a/b')
    f('h', type=tarfile.LNKTYPE, linkname='./a/b')
    f('ünï', size=1, uid=70000, gid=3000000)
    f('old', size=1, mtime=0)
    f('frac', size=1, mtime=1000000000.75)
    f('n' * 120 + '/' + 'm' * 150, size=1)
    f('empty-dir/', type=tarfile.DIRTYPE, mode=0o1777, uid=4)
END
