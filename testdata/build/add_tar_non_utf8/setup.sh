mkdir t
printf 1 >"t/$(printf "\351")"
tar -cf t.tar -C t .
rm -r t
