umask 022
mkdir -p repo/sub
cd repo
git init -q -b main .
git config user.email t@example
git config user.name t
echo one >foo
echo s >sub/deep
ln -s foo link
printf 'echo x\n' >run.sh
chmod 755 run.sh
git add .
git commit -q -m one
git tag v1
echo two >foo
git add .
git commit -q -m two
git tag v2
git checkout -q -b other
echo other >foo
git commit -q -a -m other
git update-server-info
