//! Debian's `docker-registry` on a port of its own, and a slow or stalling way to it.

use super::Lab;
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Bcrypt of `secret`, cost 4.
const HTPASSWD: &str = "ann:$2y$04$AfY6AMtzr8Nhb42CJZdEReCjEpCOKTPYKsdYh9spWS7YeH.qHqbs.\n";

/// A running registry that keeps its blobs in a lab.
pub struct Registry {
    child: Child,
    pub port: u16,
}

impl Registry {
    /// A registry for everybody.
    pub fn start(lab: &Lab) -> Registry {
        Registry::with(lab, "")
    }

    /// A registry that wants user `ann` and password `secret`.
    pub fn with_login(lab: &Lab) -> Registry {
        lab.write("registry/htpasswd", HTPASSWD);
        let path = lab.path("registry/htpasswd");
        let more = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display());
        Registry::with(lab, &more)
    }

    fn with(lab: &Lab, more: &str) -> Registry {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = lab.path("registry/data");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:{port}\n{more}",
            data.display()
        );
        lab.write("registry/config.yml", &text);
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(lab.path("registry/config.yml"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(lab.path("registry/log")).unwrap())
            .spawn()
            .expect("docker-registry is installed (apt-get install docker-registry)");
        let registry = Registry { child, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// The full name of an image in it.
    pub fn name(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    /// Whether there is an image of that name.
    pub fn has(&self, repository: &str, tag: &str) -> bool {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let request = format!(
            "HEAD /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 200")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to a registry that passes only so many bytes a second, or so many in all.
pub struct SlowWay {
    pub port: u16,
    stalled: Arc<AtomicBool>,
}

impl SlowWay {
    /// 8 MB a second.
    pub fn to(registry: &Registry) -> SlowWay {
        SlowWay::start(registry.port, u64::MAX)
    }

    /// Nothing comes through after `limit` bytes in all.
    pub fn stalling(registry: &Registry, limit: u64) -> SlowWay {
        SlowWay::start(registry.port, limit)
    }

    fn start(target: u16, limit: u64) -> SlowWay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stalled = Arc::new(AtomicBool::new(false));
        let (passed, flag) = (Arc::new(AtomicU64::new(0)), Arc::clone(&stalled));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(("127.0.0.1", target)).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (passed, flag) = (Arc::clone(&passed), Arc::clone(&flag));
                    thread::spawn(move || pass(from, to, &passed, limit, &flag));
                }
            }
        });
        SlowWay { port, stalled }
    }

    /// Waits until the way is blocked.
    pub fn wait_until_stalled(&self) {
        while !self.stalled.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The full name of an image at the other end.
    pub fn name(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64, limit: u64, flag: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if passed.fetch_add(count as u64, Ordering::SeqCst) > limit {
            flag.store(true, Ordering::SeqCst);
            loop {
                thread::park();
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(count as u64 >> 13));
    }
    let _ = to.shutdown(Shutdown::Write);
}
