FROM elixir:1.17-slim AS build
WORKDIR /app
ENV MIX_ENV=prod
RUN mix local.hex --force && mix local.rebar --force
COPY mix.exs mix.lock ./
RUN mix deps.get --only prod && mix deps.compile
COPY config ./config
COPY lib ./lib
RUN mix release

FROM debian:12-slim
COPY --from=build /app/_build/prod/rel/app /app
USER 1000
CMD ["/app/bin/app", "start"]
