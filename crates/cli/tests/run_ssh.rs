//! `RUN --mount=type=ssh`: real agents, real keys and OpenSSH's own client inside of the RUN.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// An agent that belongs to the lab's user.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(lab: &Lab, name: &str) -> Agent {
        let socket = lab.path(name);
        let mut command = lab.as_user("ssh-agent");
        command.args(["-D", "-a"]).arg(&socket).stdout(Stdio::null());
        let child = command.spawn().expect("openssh-client is installed");
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Agent { child, socket }
    }

    fn add(&self, key: &Path) {
        let added = Command::new("ssh-add").arg(key).env("SSH_AUTH_SOCK", &self.socket).output();
        assert!(added.as_ref().unwrap().status.success(), "{added:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new key in `keys`; the public half is in the context too.
fn make_key(lab: &Lab, name: &str, kind: &[&str]) -> PathBuf {
    let key = lab.path(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-C", name, "-t"]).args(kind).arg("-f").arg(&key);
    assert!(command.status().expect("openssh-client is installed").success());
    lab.write(&format!("context/{name}.pub"), &fs::read_to_string(public(&key)).unwrap());
    let owner = fs::metadata(lab.path("context")).unwrap().uid();
    std::os::unix::fs::chown(&key, Some(owner), Some(owner)).unwrap();
    key
}

fn public(key: &Path) -> PathBuf {
    PathBuf::from(format!("{}.pub", key.display()))
}

/// A base with `ssh-add` and its libraries, `FROM base AS ssh`.
fn base(lab: &Lab) -> &'static str {
    let listed = Command::new("ldd").arg("/usr/bin/ssh-add").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let libraries = listed.split_whitespace().filter(|it| it.starts_with('/'));
    for file in libraries.chain(["/usr/bin/ssh-add", "/usr/bin/ssh-keygen"]) {
        let target = lab.path(&format!("context/root{file}"));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
    "FROM base\nCOPY root /\nENV PATH=/usr/bin:/bin\nWORKDIR /k\nCOPY *.pub ./\n"
}

#[test]
fn an_agent_signs_for_a_run_and_cannot_be_changed_by_it() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let (agent, other) = (Agent::start(&lab, "agent"), Agent::start(&lab, "other"));
        agent.add(&make_key(&lab, "one", &["ed25519"]));
        other.add(&make_key(&lab, "two", &["rsa", "-b", "2048"]));
        let text = format!(
            "{}RUN --mount=type=tmpfs,target=/t --mount=type=ssh,required --mount=type=ssh,id=other \
             echo $SSH_AUTH_SOCK && stat -c '%F %a %u:%g' $SSH_AUTH_SOCK && ssh-add -T one.pub && \
             ! ssh-add -T two.pub && ! ssh-add -D && ssh-add -l && \
             SSH_AUTH_SOCK=/run/buildkit/ssh_agent.1 ssh-add -T two.pub\n\
             RUN --mount=type=ssh,target=/tmp/sock,mode=0666 stat -c '%F %a' /tmp/sock\n\
             RUN --mount=type=ssh,id=none test -n \"$SSH_AUTH_SOCK\" -a ! -e /run/buildkit\n",
            base(&lab)
        );
        lab.write("context/Dockerfile", &text);
        let other = format!("other={}", other.socket.display());
        let args = lab.build_args(&["--ssh", "default", "--ssh", &other]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = lab.command(&args).env("SSH_AUTH_SOCK", &agent.socket).output().unwrap();
        let ended = common::Ended::of(output).ok();
        for line in ["/run/buildkit/ssh_agent.0", "socket 600 0:0", "socket 666"] {
            assert!(ended.stderr.lines().any(|it| it.ends_with(line)), "{line}: {}", ended.stderr);
        }
        // What the RUN tried to remove is still there.
        let keys = Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &agent.socket).output();
        assert!(keys.unwrap().status.success());
    }
}

#[test]
fn key_files_need_no_agent() {
    let kinds: [&[&str]; 4] =
        [&["ed25519"], &["rsa", "-b", "3072"], &["ecdsa", "-b", "256"], &["ecdsa", "-b", "384"]];
    for lab in [Lab::new(), Lab::ordinary()] {
        let (mut files, mut tests) = (Vec::new(), String::new());
        for (number, kind) in kinds.iter().enumerate() {
            let name = format!("key{number}");
            files.push(make_key(&lab, &name, kind).display().to_string());
            // With the hash that servers of today want; `ssh-add -T` asks for SHA-1 of an RSA key.
            tests.push_str(&format!(
                "ssh-keygen -q -Y sign -n x -f {name}.pub < /etc/passwd > /tmp/s && \
                 ssh-keygen -Y check-novalidate -n x -s /tmp/s < /etc/passwd && "
            ));
        }
        let text = format!("{}RUN --mount=type=ssh {tests} ssh-add -l\n", base(&lab));
        lab.write("context/Dockerfile", &text);
        let ended = lab.build(&["--ssh", &format!("default={}", files.join(","))]).ok();
        for name in ["key0 (ED25519)", "key1 (RSA)", "key2 (ECDSA)", "key3 (ECDSA)"] {
            assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
        }
    }
}

#[test]
fn what_is_missing_is_said() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "FROM base\nRUN --mount=type=ssh,id=git,required true\n");
    lab.build(&[]).failed_with(&["ssh agent `git` is required", "--ssh git", "Dockerfile:2:1"]);
    lab.build(&["--ssh", "git"]).failed_with(&["SSH_AUTH_SOCK is not set", "ssh-agent"]);
    lab.write("key", "no key");
    let key = format!("git={}", lab.path("key").display());
    lab.build(&["--ssh", &key]).failed_with(&["not a private key in OpenSSH's format"]);
    let locked = lab.path("locked");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "passphrase", "-t", "ed25519", "-f"]).arg(&locked);
    assert!(command.status().unwrap().success());
    let key = format!("git={}", locked.display());
    lab.build(&["--ssh", &key]).failed_with(&["has a passphrase", "ssh-add"]);
}
