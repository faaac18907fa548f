mkdir repo
cd repo
git init -q -b main .
git config user.email t@example
git config user.name t
echo one >foo
git add .
GIT_COMMITTER_DATE='1700000101 +0000' git commit -q -m one
git tag v1
git update-server-info
