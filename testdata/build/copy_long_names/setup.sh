long=$(printf "%0200d" 7)
mkdir -p "n/$long/$long"
echo deep >"n/$long/$long/$long"
ln -s "$long/$long/$long" n/link
