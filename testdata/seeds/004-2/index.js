console.log('hello from', process.getuid());
