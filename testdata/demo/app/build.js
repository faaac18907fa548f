// Joins the sources into one file, as a bundler would.
const fs = require("fs");
fs.mkdirSync("dist", { recursive: true });
const { version } = JSON.parse(fs.readFileSync("package.json", "utf8"));
const source = fs.readFileSync("src/server.js", "utf8").replace("__VERSION__", version);
fs.writeFileSync("dist/server.js", source);
console.log(`dist/server.js: ${source.length} bytes`);
