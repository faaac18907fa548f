FROM debian:12-slim
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl \
 && curl -fsSL https://example.com/tool/v1.4.2/tool.tar.gz -o /tmp/tool.tar.gz \
 && echo "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  /tmp/tool.tar.gz" | sha256sum -c - \
 && tar -xzf /tmp/tool.tar.gz -C /usr/local/bin \
 && rm -rf /tmp/tool.tar.gz /var/lib/apt/lists/*
USER 65534
ENTRYPOINT ["/usr/local/bin/tool"]
