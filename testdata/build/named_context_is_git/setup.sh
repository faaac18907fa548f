umask 022
mkdir repo
cd repo
git init -q -b main .
git config user.email t@example
git config user.name t
echo one >foo
git add .
git commit -q -m one
git update-server-info
