// The build step: src/ to dist/, with a stamp from a development-only dependency.
const fs = require('node:fs');
const colors = require('picocolors');

fs.cpSync('src', 'dist', { recursive: true });
fs.writeFileSync('dist/build.json', JSON.stringify({ release: process.env.SENTRY_RELEASE || '' }));
console.log(colors.green('built dist'));
