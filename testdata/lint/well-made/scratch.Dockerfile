FROM scratch
COPY --chmod=755 app /app
USER 65534:65534
ENTRYPOINT ["/app"]
