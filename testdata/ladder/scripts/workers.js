const { Worker } = require("worker_threads");
const program = `
  require("fs").writeFileSync("/tmp/worker-" + require("worker_threads").threadId, "x");
  require("child_process").execFileSync("true");
`;
let ended = 0;
for (let i = 0; i < 8; i++) {
  new Worker(program, { eval: true }).on("exit", (code) => {
    if (code !== 0) process.exit(1);
    if (++ended === 8) console.log(process.execPath);
  });
}
