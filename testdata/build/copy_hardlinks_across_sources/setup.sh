mkdir h2
ln h/a h2/b
