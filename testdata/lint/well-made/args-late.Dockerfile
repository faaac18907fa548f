FROM golang:1.22.4 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG GIT_SHA
RUN go build -ldflags "-X main.version=$VERSION -X main.commit=$GIT_SHA" -o /app .
FROM debian:12-slim
COPY --from=build /app /app
ARG GIT_SHA
LABEL org.opencontainers.image.revision=$GIT_SHA
ENTRYPOINT ["/app"]
