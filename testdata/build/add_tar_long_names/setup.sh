long=$(printf "%0120d" 7)
mkdir -p t/$long/$long
echo 1 >t/$long/$long/f
tar -cf t.tar -C t .
rm -r t
