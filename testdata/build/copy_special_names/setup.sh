cd n
echo 1 >"new
line"
echo 2 >"quo\"te"
echo 3 >"back\\slash"
echo 4 >"$(printf "tab\t")"
echo 5 >".hidden"
echo 6 >"-dash"
