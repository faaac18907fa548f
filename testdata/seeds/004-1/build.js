// The build step: src/ to .next/, with a stamp from a development-only dependency.
const fs = require('node:fs');
const colors = require('picocolors');

fs.cpSync('src', '.next', { recursive: true });
fs.writeFileSync('.next/build.json', JSON.stringify({ release: process.env.SENTRY_RELEASE || '' }));
console.log(colors.green('built .next'));
