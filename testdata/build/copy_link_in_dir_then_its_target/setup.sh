mkdir foo
ln -s ../bar foo/sub
