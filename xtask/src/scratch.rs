//! The static binary in an empty root, as in an image made of nothing else: it finds registries by name and
//! builds and pushes there, without certificates, a home, a folder for temporary files or `/proc`.
//!
//! `cargo xtask scratch [--strake PROGRAM]`, as root; a server of names answers on a loopback address.

use crate::{
    packages::install,
    registry::Registry,
    shell::{is_root, output, say, strake},
};
use fs_err as fs;
use std::{
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// Where the server of names listens: `resolv.conf` knows no ports.
const SERVER: &str = "127.0.0.77";
/// The only name that it knows.
const NAME: &str = "registry.strake.test";

/// What is in the root beside the program, and how the registry is called there.
struct Case {
    what: &'static str,
    files: &'static [(&'static str, &'static str)],
    host: &'static str,
    user: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        what: "by DNS",
        files: &[("resolv.conf", "nameserver 127.0.0.77\n")],
        host: NAME,
        user: "0:0",
    },
    Case {
        what: "by DNS and a search list",
        files: &[(
            "resolv.conf",
            "search other.test strake.test\nnameserver 127.0.0.77\noptions ndots:5\n",
        )],
        host: "registry",
        user: "0:0",
    },
    Case {
        what: "by /etc/hosts",
        files: &[("hosts", "127.0.0.1 registry.by.hosts\n")],
        host: "registry.by.hosts",
        user: "0:0",
    },
    Case {
        what: "by DNS, where nsswitch.conf names modules that are not there",
        files: &[
            ("resolv.conf", "nameserver 127.0.0.77\n"),
            ("nsswitch.conf", "hosts: files mdns4_minimal [NOTFOUND=return] resolve dns\n"),
        ],
        host: NAME,
        user: "0:0",
    },
    Case {
        what: "by DNS, as an ordinary user",
        files: &[("resolv.conf", "nameserver 127.0.0.77\n")],
        host: NAME,
        user: "1000:1000",
    },
];

pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let program = match words {
        [] => strake()?,
        ["--strake", program] => PathBuf::from(program),
        _ => return Err("usage: cargo xtask scratch [--strake PROGRAM]".to_owned()),
    };
    if !is_root() {
        return Err("another root and port 53 need root".to_owned());
    }
    install(&[("docker-registry", "docker-registry"), ("skopeo", "skopeo")])?;
    let folder = PathBuf::from(format!("/var/tmp/strake-scratch-{}", std::process::id()));
    let done = all(&folder, &program);
    let _ = fs::remove_dir_all(&folder);
    done
}

fn all(folder: &Path, program: &Path) -> Result<(), String> {
    let server = UdpSocket::bind((SERVER, 53)).map_err(|it| format!("{SERVER}:53: {it}"))?;
    thread::spawn(move || serve(&server));
    let registry = Registry::start(&folder.join("registry"))?;
    for (number, case) in CASES.iter().enumerate() {
        let root = folder.join(format!("root-{number}"));
        make(&root, program, case).map_err(|it| it.to_string())?;
        let host = format!("{}:{}", case.host, registry.port);
        let name = format!("{host}/scratch/app:{number}");
        let mut chroot = Command::new("/usr/sbin/chroot");
        chroot.args(["--userspec", case.user]).arg(&root).arg("/strake");
        chroot.args(["build", "-q", "--plain-http", &host, "--push", "-t", &name, "/context"]);
        let ended = chroot.env_clear().stdin(Stdio::null()).output();
        let ended = ended.map_err(|it| format!("chroot: {it}"))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            return Err(format!("a registry {}: {said}", case.what));
        }
        let direct = format!("docker://127.0.0.1:{}/scratch/app:{number}", registry.port);
        output("skopeo", &["inspect", "--tls-verify=false", &direct])?;
        say(&format!("== a registry {}: built and pushed", case.what));
    }
    Ok(())
}

/// A root with the program, a context, the case's files, and one folder for the store.
fn make(root: &Path, program: &Path, case: &Case) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for folder in ["etc", "context", "var/tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("var/tmp"), std::fs::Permissions::from_mode(0o1777))?;
    fs::copy(program, root.join("strake"))?;
    fs::write(root.join("context/Dockerfile"), "FROM scratch\nCOPY file /file\n")?;
    fs::write(root.join("context/file"), case.what)?;
    for (name, text) in case.files {
        fs::write(root.join("etc").join(name), text)?;
    }
    Ok(())
}

/// Answers questions for addresses. RFC 1035, section 4.
fn serve(server: &UdpSocket) {
    let mut question = [0; 1500];
    while let Ok((length, from)) = server.recv_from(&mut question) {
        if let Some(answer) = answer(&question[..length]) {
            let _ = server.send_to(&answer, from);
        }
    }
}

fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = question.split_at_checked(12)?;
    let (mut name, mut at) = (String::new(), 0);
    while let Some(length) = rest.get(at).map(|it| usize::from(*it)).filter(|it| *it > 0) {
        name.push_str(&String::from_utf8_lossy(rest.get(at + 1..at + 1 + length)?));
        name.push('.');
        at += 1 + length;
    }
    let asked = rest.get(..at + 5)?;
    let known = name.trim_end_matches('.').eq_ignore_ascii_case(NAME);
    let address = known && asked[at + 1..at + 3] == [0, 1];
    let mut answer = head[..2].to_vec();
    answer.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(address), 0, 0, 0, 0]);
    answer.extend(asked);
    if address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
