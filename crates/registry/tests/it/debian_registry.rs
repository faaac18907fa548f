//! Debian's `docker-registry`, on a port of its own, with a root that ends with it.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

pub(crate) struct DebianRegistry {
    child: Child,
    pub(crate) port: u16,
    _root: TempDir,
}

/// Bcrypt of `secret`, cost 4.
const HTPASSWD: &str = "ann:$2y$04$AfY6AMtzr8Nhb42CJZdEReCjEpCOKTPYKsdYh9spWS7YeH.qHqbs.\n";

impl DebianRegistry {
    pub(crate) fn start() -> DebianRegistry {
        DebianRegistry::with(|_| String::new())
    }

    /// A registry that wants user `ann` and password `secret`.
    pub(crate) fn with_login() -> DebianRegistry {
        DebianRegistry::with(|root| {
            let path = root.path().join("htpasswd");
            fs_err::write(&path, HTPASSWD).unwrap();
            format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display())
        })
    }

    /// A registry with the certificate in `tests/data`.
    pub(crate) fn with_tls() -> DebianRegistry {
        DebianRegistry::with(|_| {
            let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
            format!("  tls:\n    certificate: {data}/server.pem\n    key: {data}/server.key\n")
        })
    }

    fn with(more: impl Fn(&TempDir) -> String) -> DebianRegistry {
        let root = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = root.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:{port}\n{}",
            root.path().join("data").display(),
            more(&root)
        );
        fs_err::write(&config, text).unwrap();
        let log = fs_err::File::create(root.path().join("log")).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log.into_file())
            .spawn()
            .expect("docker-registry is installed (apt-get install docker-registry)");
        let registry = DebianRegistry { child, port, _root: root };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("docker-registry does not listen on port {port}");
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host())
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
