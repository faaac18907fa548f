FROM node:20.14 AS deps
WORKDIR /app
COPY package.json yarn.lock ./
RUN --mount=type=cache,target=/usr/local/share/.cache/yarn yarn install --frozen-lockfile
FROM deps AS source
COPY . .
FROM source AS test
RUN yarn test
FROM source AS build
RUN yarn build
FROM node:20.14-slim
WORKDIR /app
COPY --from=build /app/out ./out
USER node
CMD ["node", "out/main.js"]
