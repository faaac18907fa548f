umask 022
mkdir -p repo/sub
cd repo
git init -q -b main .
git config user.email t@example
git config user.name t
echo one >foo
echo two >sub/bar
git add .
git commit -q -m one
git tag v1
git update-server-info
sed -i "s/@COMMIT@/$(git rev-parse HEAD)/" ../Dockerfile
