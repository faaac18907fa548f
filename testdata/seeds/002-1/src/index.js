// Answers the health check on port 3000 and says who it runs as.
const http = require('node:http');
const ms = require('ms');

const started = Date.now();
const server = http.createServer((request, response) => {
  const known = request.url === '/health';
  response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ ok: known, uid: process.getuid(), env: process.env.NODE_ENV, up: ms(Date.now() - started) }));
});
server.listen(Number(process.env.PORT || 3000));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
