mkfifo p
ln -s loop loop
ln -s nowhere dangling
ln -s . self
ln -s .. up
mkdir d
ln -s ../d d/back
touch -- 'a b' "$(printf 'tab\there')" "$(printf 'nl\nx')" 'quote"s' "it's" '$dollar' '\back' 'ümlaut' '-dash' ' lead' 'trail '
truncate -s 1M sparse
echo x >>sparse
