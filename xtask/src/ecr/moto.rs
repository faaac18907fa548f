//! moto, which answers as Amazon's control planes do, installed or in a folder of its own.

use crate::shell::{root, run_with, say, which};
use fs_err as fs;
use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// A running moto.
pub(super) struct Moto {
    child: Child,
    pub(super) port: u16,
}

impl Moto {
    pub(super) fn start(folder: &Path) -> Result<Moto, String> {
        let mut program = program()?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = port.map_err(|it| it.to_string())?.port();
        let log = fs::File::create(folder.join("moto.log")).map_err(|it| it.to_string())?;
        let child = program
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_file())
            .spawn()
            .map_err(|it| format!("moto_server: {it}"))?;
        let moto = Moto { child, port };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(moto);
            }
            sleep(Duration::from_millis(100));
        }
        Err("moto_server does not listen".to_owned())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The installed one, else one that pip puts beside the build.
fn program() -> Result<Command, String> {
    if which("moto_server").is_some() {
        return Ok(Command::new("moto_server"));
    }
    let home = root().join("target/moto");
    if !home.join("moto").is_dir() {
        say("installing moto with pip");
        let (target, none) = (home.display().to_string(), [("PIP_QUIET", "1")]);
        run_with("pip3", &["install", "--target", &target, "moto[server,ecr,sts]"], &none)?;
    }
    let mut command = Command::new("python3");
    command.args(["-m", "moto.server"]).env("PYTHONPATH", &home);
    Ok(command)
}
