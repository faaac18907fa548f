mkdir e/dir
