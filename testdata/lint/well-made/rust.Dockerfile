FROM rust:1.80-slim AS chef
RUN cargo install cargo-chef --locked --version 0.1.67
WORKDIR /app

FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=planner /app/recipe.json recipe.json
RUN cargo chef cook --release --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked

FROM debian:12-slim
COPY --from=build /app/target/release/app /usr/local/bin/app
USER 1000
ENTRYPOINT ["/usr/local/bin/app"]
