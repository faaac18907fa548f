//! Interpreters for programs of other processors, registered for this user namespace alone.
//!
//! Since Linux 6.7 each user namespace can have a binfmt_misc of its own
//! ([binfmt_misc](https://docs.kernel.org/admin-guide/binfmt-misc.html)): what is registered there is
//! gone with the namespace, and the host never sees it.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::Privilege;

/// The interpreters of this namespace; dropping it ends them.
#[derive(Debug)]
pub struct Interpreters {
    mount: OwnedFd,
    names: Vec<String>,
}

/// What is to be run by an interpreter: files that begin with `magic` where `mask` has bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter<'a> {
    /// A short name for the processor.
    pub name: &'a str,
    /// First bytes.
    pub magic: &'a [u8],
    /// As long as `magic`.
    pub mask: &'a [u8],
    /// A program without libraries: it is opened here and used in every root.
    pub path: &'a Path,
    /// Whether it wants to be told the name that the program was called by.
    pub wants_name: bool,
}

impl Interpreters {
    /// Makes a table of this namespace's own. Those of namespaces around it no longer count.
    ///
    /// Refused without a user namespace of one's own, where the table would be the host's.
    pub fn new(privilege: &Privilege) -> io::Result<Interpreters> {
        match privilege {
            Privilege::SubIds | Privilege::SingleId => {}
            Privilege::Root | Privilege::Emulated | Privilege::Chroot | Privilege::None { .. } => {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        let context = fsopen("binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        let none = MountAttrFlags::empty();
        let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, none)?;
        Ok(Interpreters { mount, names: Vec::new() })
    }

    /// Adds one.
    pub fn register(&mut self, interpreter: &Interpreter<'_>) -> io::Result<()> {
        let Interpreter { name, magic, mask, path, wants_name } = interpreter;
        let name = format!("strake-{}-{name}", std::process::id());
        let escaped =
            |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("\\x{it:02x}")).collect() };
        let (magic, mask, flags) =
            (escaped(magic), escaped(mask), if *wants_name { "PF" } else { "F" });
        let line = format!(":{name}:M::{magic}:{mask}:{}:{flags}", path.display());
        self.write("register", line.as_bytes())?;
        self.names.push(name);
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.mount, name, flags, Mode::empty())?;
        std::fs::File::from(file).write_all(bytes)
    }
}

impl Drop for Interpreters {
    fn drop(&mut self) {
        for name in &self.names {
            // Somebody else in this namespace may have the table too, and keep it.
            let _gone = self.write(name, b"-1");
        }
    }
}
