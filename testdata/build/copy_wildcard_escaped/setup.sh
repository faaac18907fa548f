echo star >"a*b.txt"
