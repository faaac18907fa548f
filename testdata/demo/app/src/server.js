const http = require("http");

const server = http.createServer((request, response) => {
  if (request.url === "/health") {
    response.end(JSON.stringify({ status: "ok", version: "__VERSION__" }));
    return;
  }
  response.end(`hello from uid ${process.getuid()}\n`);
});

server.listen(3000, () => console.log("listening on 3000"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
