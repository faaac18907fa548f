# syntax=docker/dockerfile:1
FROM alpine:3.20
RUN <<EOF
set -eux
apk add --no-cache ca-certificates tini
adduser -D -H app
EOF
COPY --chmod=644 <<EOF /etc/app.conf
listen = 8080
EOF
USER app
ENTRYPOINT ["tini", "--"]
CMD ["app"]
