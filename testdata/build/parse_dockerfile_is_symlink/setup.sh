mv Dockerfile Dockerfile.web
ln -s Dockerfile.web Dockerfile
