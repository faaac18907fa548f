gzip -nc a.txt >a.gz
