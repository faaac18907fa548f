# syntax=docker/dockerfile:1
FROM node:20.14
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci
COPY . .
USER node
CMD ["node", "index.js"]
