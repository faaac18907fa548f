python3 - <<'END'
import tarfile, io
with tarfile.open('t.tar', 'w') as t:
    def f(name, **k):
        i = tarfile.TarInfo(name); i.mtime = 1000000000; i.mode = 0o644
        for a, b in k.items(): setattr(i, a, b)
        t.addfile(i, io.BytesIO(b'x' * i.size))
    f('../../../up', size=1)
    f('a/../../f', size=1)
    f('/../g', size=1)
    f('ok', size=1)
    f('h', type=tarfile.LNKTYPE, linkname='../ok')
END
