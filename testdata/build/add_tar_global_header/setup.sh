python3 - <<'END'
import tarfile, io
with tarfile.open('t.tar', 'w', format=tarfile.PAX_FORMAT, pax_headers={'comment': 'a1b2'}) as t:
    i = tarfile.TarInfo('f'); i.size = 2; i.mode = 0o644; i.mtime = 1000000000
    t.addfile(i, io.BytesIO(b'x\n'))
    i = tarfile.TarInfo('l'); i.type = tarfile.SYMTYPE; i.linkname = 'f'; i.mtime = 1000000000
    t.addfile(i)
END
