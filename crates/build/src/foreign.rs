//! Programs of another processor: whether this kernel can run them.
//!
//! [binfmt_misc](https://docs.kernel.org/admin-guide/binfmt-misc.html) hands a file whose first bytes
//! match to an interpreter. With the flag F the interpreter was opened when it was registered;
//! otherwise it is looked for in the root of the program.

use std::path::{Path, PathBuf};
use strake_oci::Platform;
use strake_sandbox::{Interpreter, Interpreters, Privilege};

/// How programs of a platform can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// By the processor itself.
    Native,
    /// By this interpreter.
    Interpreter {
        /// Its path.
        path: PathBuf,
        /// Whether it was opened when it was registered (flag F), so that any root will do.
        fixed: bool,
    },
    /// The kernel knows no interpreter for them.
    Missing,
    /// binfmt_misc cannot be seen from here.
    Unknown,
}

/// Finds out how programs of `platform` can be run on a machine that is `host`. `binfmt` is where
/// binfmt_misc is mounted.
pub fn foreign(platform: &Platform, host: &Platform, binfmt: &Path) -> Foreign {
    if platform.os == host.os && native(&platform.architecture, &host.architecture) {
        return Foreign::Native;
    }
    let Some(header) = elf_header(&platform.architecture) else { return Foreign::Missing };
    match std::fs::read_to_string(binfmt.join("status")) {
        Err(_) => return Foreign::Unknown,
        Ok(text) if text.trim() != "enabled" => return Foreign::Missing,
        Ok(_) => {}
    }
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(binfmt).into_iter().flatten().flatten().map(|it| it.path()).collect();
    names.sort();
    names
        .iter()
        .filter_map(|it| std::fs::read_to_string(it).ok())
        .find_map(|it| interpreter(&it, &header))
        .unwrap_or(Foreign::Missing)
}

/// Interpreters that a build has registered for itself.
#[derive(Debug)]
pub(crate) struct Own {
    architectures: Vec<&'static str>,
    _table: Interpreters,
}

impl Own {
    /// Registers what can be found, where the privilege and the kernel let it: for ordinary users, in
    /// the user namespace of the build.
    pub(crate) fn register(folders: &[PathBuf], privilege: &Privilege) -> Option<Own> {
        let found: Vec<_> = QEMU
            .iter()
            .filter_map(|(architecture, qemu)| Some((*architecture, find_qemu(qemu, folders)?)))
            .collect();
        if found.is_empty() {
            return None;
        }
        let mut table = Interpreters::new(privilege).ok()?;
        let mut architectures = Vec::new();
        for (architecture, (path, wants_name)) in found {
            let magic = elf_header(architecture)?;
            let mask = mask(&magic);
            let name = architecture;
            let it = Interpreter { name, magic: &magic, mask: &mask, path: &path, wants_name };
            if table.register(&it).is_ok() {
                architectures.push(architecture);
            }
        }
        Some(Own { architectures, _table: table })
    }

    pub(crate) fn has(&self, architecture: &str) -> bool {
        self.architectures.contains(&architecture)
    }
}

/// The processors whose programs a build here would bring an interpreter of its own for.
pub fn own_interpreters(folders: &[PathBuf], privilege: &Privilege) -> Vec<&'static str> {
    Own::register(folders, privilege).map(|it| it.architectures.clone()).unwrap_or_default()
}

/// Names of processors, ours and QEMU's.
const QEMU: &[(&str, &str)] = &[
    ("amd64", "x86_64"),
    ("386", "i386"),
    ("arm64", "aarch64"),
    ("arm", "arm"),
    ("riscv64", "riscv64"),
    ("ppc64le", "ppc64le"),
    ("s390x", "s390x"),
    ("mips64le", "mips64el"),
    ("loong64", "loongarch64"),
];

/// The interpreter, and whether it wants to know the name that a program was called by: Debian's
/// does, under a name that says so.
fn find_qemu(name: &str, folders: &[PathBuf]) -> Option<(PathBuf, bool)> {
    let names = [
        (format!("{name}-binfmt-P"), true),
        (format!("qemu-{name}-static"), false),
        (format!("qemu-{name}"), false),
    ];
    let mut files = folders
        .iter()
        .flat_map(|folder| names.iter().map(|(name, wants_name)| (folder.join(name), *wants_name)));
    files.find(|(file, _)| is_static(file))
}

/// Whether a program needs no other file: only then it can run in every root.
fn is_static(file: &Path) -> bool {
    let mut head = Vec::new();
    let read = std::fs::File::open(file)
        .and_then(|it| std::io::Read::read_to_end(&mut std::io::Read::take(it, 4096), &mut head));
    read.is_ok() && head.starts_with(b"\x7fELF") && crate::program::loader(&head).is_none()
}

/// The ABI does not count, and executables with and without a fixed place are the same.
fn mask(header: &[u8; 20]) -> [u8; 20] {
    let mut mask = [0xff; 20];
    mask[7] = 0;
    mask[if header[5] == 1 { 16 } else { 17 }] = 0xfe;
    mask
}

/// Platforms whose programs one may want to run, for `strake doctor`.
pub const FOREIGN_PLATFORMS: &[&str] = &[
    "linux/amd64",
    "linux/386",
    "linux/arm64",
    "linux/arm/v7",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
];

/// What to do to have an interpreter.
pub fn how_to_install(architecture: &str) -> String {
    format!(
        "install one: `apt-get install qemu-user-static` on Debian and Ubuntu, `dnf install \
         qemu-user-static` on Fedora, or `docker run --privileged --rm tonistiigi/binfmt --install \
         {architecture}`; as an ordinary \
         user it is enough that the program is there, as root it has to be registered on the host"
    )
}

fn native(wanted: &str, host: &str) -> bool {
    wanted == host || (wanted == "386" && host == "amd64") || (wanted == "arm" && host == "arm64")
}

/// Reads what the kernel shows of one interpreter.
fn interpreter(text: &str, header: &[u8]) -> Option<Foreign> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if text.lines().next() != Some("enabled") {
        return None;
    }
    let bytes = |text: &str| hex::decode(text).ok();
    let magic = bytes(field("magic ")?)?;
    let mask = field("mask ").and_then(bytes).unwrap_or_else(|| vec![0xff; magic.len()]);
    let offset: usize = field("offset ")?.parse().ok()?;
    let start = header.get(offset..)?;
    let matches = magic.len() <= start.len()
        && magic
            .iter()
            .zip(&mask)
            .zip(start)
            .all(|((magic, mask), byte)| byte & mask == magic & mask);
    let fixed = field("flags:").is_some_and(|it| it.contains('F'));
    matches.then_some(Foreign::Interpreter { path: field("interpreter ")?.into(), fixed })
}

/// The first bytes of an executable for a processor. [ELF](https://gabi.xinuos.com/elf/02-eheader.html).
fn elf_header(architecture: &str) -> Option<[u8; 20]> {
    let (class, order, machine): (u8, u8, u16) = match architecture {
        "amd64" => (2, 1, 62),
        "386" => (1, 1, 3),
        "arm64" => (2, 1, 183),
        "arm" => (1, 1, 40),
        "riscv64" => (2, 1, 243),
        "ppc64le" => (2, 1, 21),
        "s390x" => (2, 2, 22),
        "mips64le" => (2, 1, 8),
        "mips64" => (2, 2, 8),
        "loong64" => (2, 1, 258),
        _ => return None,
    };
    let number = |it: u16| if order == 1 { it.to_le_bytes() } else { it.to_be_bytes() };
    let mut header = [0; 20];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order, 1]);
    header[16..18].copy_from_slice(&number(2));
    header[18..20].copy_from_slice(&number(machine));
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::{FOREIGN_PLATFORMS, Foreign, foreign};

    const AARCH64: &str = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: F\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\n\
        mask ffffffffffffff00fffffffffffffffffeffffff\n";
    const S390X: &str = "enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: \noffset 0\n\
        magic 7f454c4602020100000000000000000000020016\n\
        mask ffffffffffffff00fffffffffffffffffffeffff\n";

    #[test]
    fn what_is_registered_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let ask = |platform: &str| {
            let host = "linux/amd64".parse().unwrap();
            foreign(&platform.parse().unwrap(), &host, dir.path())
        };
        assert_eq!(ask("linux/arm64"), Foreign::Unknown);
        std::fs::write(dir.path().join("status"), "enabled\n").unwrap();
        std::fs::write(dir.path().join("register"), "").unwrap();
        assert_eq!(ask("linux/arm64"), Foreign::Missing);
        std::fs::write(dir.path().join("qemu-aarch64"), AARCH64).unwrap();
        std::fs::write(dir.path().join("qemu-s390x"), S390X).unwrap();
        let by = |path: &str, fixed| Foreign::Interpreter { path: path.into(), fixed };
        assert_eq!(ask("linux/arm64"), by("/usr/bin/qemu-aarch64-static", true));
        assert_eq!(ask("linux/arm64/v8"), by("/usr/bin/qemu-aarch64-static", true));
        assert_eq!(ask("linux/s390x"), by("/usr/bin/qemu-s390x-static", false));
        assert_eq!(ask("linux/riscv64"), Foreign::Missing);
        assert_eq!(ask("linux/amd64/v3"), Foreign::Native);
        assert_eq!(ask("linux/386"), Foreign::Native);
        let disabled = AARCH64.replace("enabled", "disabled");
        std::fs::write(dir.path().join("qemu-aarch64"), disabled).unwrap();
        assert_eq!(ask("linux/arm64"), Foreign::Missing);
        std::fs::write(dir.path().join("status"), "disabled\n").unwrap();
        assert_eq!(ask("linux/s390x"), Foreign::Missing);
    }

    #[test]
    fn every_platform_named_has_a_header() {
        for platform in FOREIGN_PLATFORMS {
            let platform: strake_oci::Platform = platform.parse().unwrap();
            assert!(super::elf_header(&platform.architecture).is_some(), "{platform}");
        }
    }
}
