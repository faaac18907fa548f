cd m
for m in 400 600 640 777 755 4755 2755 1644 000 111; do echo $m >f$m; chmod $m f$m; done
mkdir -m 1777 sticky; mkdir -m 2775 setgid; mkdir -m 700 private; : >private/in
