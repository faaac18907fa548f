//! Debian's registry on a port of its own.

use fs_err as fs;
use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// A running registry; dropping it ends it.
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
}

impl Registry {
    /// Starts one that keeps its blobs in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Registry, String> {
        let text = |it: std::io::Error| it.to_string();
        fs::create_dir_all(folder).map_err(text)?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).map_err(text)?;
        let port = port.port();
        let config = folder.join("config.yml");
        let data = folder.join("data");
        let settings = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:{port}\n",
            data.display()
        );
        fs::write(&config, settings).map_err(text)?;
        let log = fs::File::create(folder.join("log")).map_err(text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_file())
            .spawn()
            .map_err(|it| format!("docker-registry: {it}"))?;
        let registry = Registry { child, port };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(registry);
            }
            sleep(Duration::from_millis(20));
        }
        Err("docker-registry does not listen".to_owned())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
