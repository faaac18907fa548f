//! What an execve means: which files, which arguments, whose ids.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{CWD as HERE, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use super::calls::{CWD, Caller};
use super::elf::Elf;
use super::found::Found;
use super::paths::{absolute, descriptor};
use crate::identity::Call;
use crate::identity::credentials::Credentials;
use crate::sys::memory;

/// Interpreters of interpreters, as many as the kernel takes.
const MAX_SCRIPTS: usize = 5;
const MAX_ARGUMENTS: usize = 1 << 21;

/// What is to be done.
pub(super) struct Plan {
    /// What the kernel executes, by a path of the host: a static program, or the program that loads.
    pub(super) image: CString,
    pub(super) inode: (u64, u64),
    /// The program that is to be loaded.
    pub(super) program: Option<(File, Elf)>,
    /// Entry point of what the kernel executes, as its file has it.
    pub(super) entry: u64,
    /// What the program is called by, in the tree.
    pub(super) name: Vec<u8>,
    /// Arguments, if others than the caller's.
    pub(super) arguments: Option<Vec<Vec<u8>>>,
    /// Addresses of arguments and variables in the caller.
    pub(super) argv: u64,
    pub(super) envp: u64,
    /// What the process is afterwards.
    pub(super) credentials: Credentials,
    /// The program by its path in the tree.
    pub(super) path: Vec<u8>,
}

/// A file to be executed.
struct Target {
    found: Found,
    /// As the caller calls it.
    name: Vec<u8>,
}

pub(super) fn plan(caller: &Caller<'_>, call: &Call) -> Result<Plan, Errno> {
    let [one, two, three, four, five, _] = call.arguments;
    let (mut target, argv, envp) = if call.number == libc::SYS_execveat {
        (named(caller, one, two, five)?, three, four)
    } else {
        let name = caller.path(one)?;
        (Target { found: caller.resolve(CWD, &name, true)?, name }, two, three)
    };
    let name = target.name.clone();
    let mut credentials = may_execute(caller, &target.found)?;
    let (mut arguments, mut scripts) = (None, 0);
    loop {
        let file = File::from(openat(
            HERE,
            &target.found.path,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
        let Some((interpreter, argument)) = script(&file)? else {
            return binary(
                caller,
                target,
                file,
                Plan {
                    image: CString::default(),
                    inode: (0, 0),
                    program: None,
                    entry: 0,
                    name,
                    arguments,
                    argv,
                    envp,
                    credentials,
                    path: Vec::new(),
                },
            );
        };
        scripts += 1;
        if scripts > MAX_SCRIPTS {
            return Err(Errno::LOOP);
        }
        let old = match arguments.take() {
            Some(arguments) => arguments,
            None => read_arguments(caller, argv)?,
        };
        let mut new = vec![interpreter.clone()];
        new.extend(argument);
        new.push(target.name);
        new.extend(old.into_iter().skip(1));
        arguments = Some(new);
        let found = caller.resolve(CWD, &interpreter, true)?;
        credentials = may_execute(caller, &found)?;
        target = Target { found, name: interpreter };
    }
}

fn named(caller: &Caller<'_>, dir: u64, path: u64, flags: u64) -> Result<Target, Errno> {
    let text = caller.path(path)?;
    let found = caller.find_at(dir, path, flags)?;
    if found.is(libc::S_IFLNK) {
        return Err(Errno::LOOP);
    }
    let number = descriptor(dir);
    let name = if text.is_empty() {
        format!("/dev/fd/{number}").into_bytes()
    } else if text.starts_with(b"/") || number == libc::AT_FDCWD {
        text
    } else {
        [format!("/dev/fd/{number}/").as_bytes(), &text].concat()
    };
    Ok(Target { found, name })
}

/// Refuses what may not be executed; returns the credentials that it would give.
fn may_execute(caller: &Caller<'_>, found: &Found) -> Result<Credentials, Errno> {
    let meta = caller.meta(found);
    let old = caller.credentials();
    if !meta.is(libc::S_IFREG) || meta.mode & 0o111 == 0 || found.mount.limits.noexec {
        return Err(Errno::ACCESS);
    }
    caller.permit(&meta, 1)?;
    let counts = !found.mount.limits.nosuid;
    let user = (counts && meta.mode & libc::S_ISUID != 0).then_some(meta.uid);
    let group_bits = libc::S_ISGID | libc::S_IXGRP;
    let group = (counts && meta.mode & group_bits == group_bits).then_some(meta.gid);
    Ok(old.executed(user, group))
}

/// Interpreter and argument.
type Script = (Vec<u8>, Option<Vec<u8>>);

/// Reads the first line of a script: its interpreter and one argument.
fn script(file: &File) -> Result<Option<Script>, Errno> {
    let mut start = [0; 256];
    let count = file.read_at(&mut start, 0).map_err(|_| Errno::IO)?;
    let Some(line) = start[..count].strip_prefix(b"#!") else { return Ok(None) };
    let end = line.iter().position(|byte| matches!(byte, b'\n' | 0)).unwrap_or(line.len());
    let line = line[..end].trim_ascii();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let split = line.iter().position(blank).unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(split);
    if interpreter.is_empty() {
        return Err(Errno::NOEXEC);
    }
    let argument = argument.trim_ascii();
    Ok(Some((interpreter.to_vec(), (!argument.is_empty()).then(|| argument.to_vec()))))
}

fn read_arguments(caller: &Caller<'_>, mut address: u64) -> Result<Vec<Vec<u8>>, Errno> {
    let (mut arguments, mut size) = (Vec::new(), 0);
    if address == 0 {
        return Ok(arguments);
    }
    loop {
        let mut pointer = [0; 8];
        if memory::read(caller.pid, address, &mut pointer)? != pointer.len() {
            return Err(Errno::FAULT);
        }
        let pointer = u64::from_ne_bytes(pointer);
        if pointer == 0 {
            return Ok(arguments);
        }
        let argument = long_text(caller.pid, pointer)?;
        size += argument.len() + 1;
        if size > MAX_ARGUMENTS {
            return Err(Errno::TOOBIG);
        }
        arguments.push(argument);
        address += 8;
    }
}

/// Reads a text of any length.
fn long_text(pid: u32, mut address: u64) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    while text.len() < MAX_ARGUMENTS {
        let piece = (4096 - address % 4096) as usize;
        let start = text.len();
        text.resize(start + piece, 0);
        let count = memory::read(pid, address, &mut text[start..])?;
        if count == 0 {
            return Err(Errno::FAULT);
        }
        if let Some(end) = text[start..start + count].iter().position(|byte| *byte == 0) {
            text.truncate(start + end);
            return Ok(text);
        }
        text.truncate(start + count);
        address += count as u64;
    }
    Err(Errno::TOOBIG)
}

/// A program that is no script, and what loads it.
fn binary(caller: &Caller<'_>, target: Target, file: File, plan: Plan) -> Result<Plan, Errno> {
    let elf = Elf::read(&file)?;
    let path = host_path(&target.found)?;
    let path = caller.world.mounts.path_in_tree(&path).unwrap_or(path);
    // The owners of a setuid interpreter of a script count, those of the script do not.
    let credentials = may_execute(caller, &target.found)?;
    let Some(interpreter) = elf.interpreter.clone() else {
        return Ok(Plan {
            image: image(&target.found, plan.name.len())?,
            inode: target.found.inode(),
            entry: elf.entry,
            credentials,
            path,
            ..plan
        });
    };
    let absolute = absolute(caller.world, caller.view(), CWD, &interpreter)?;
    let loader = caller.resolve(CWD, &absolute, true)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = File::from(openat(HERE, &loader.path, flags, Mode::empty())?);
    let entry = Elf::read(&opened).map_err(|_| Errno::from_raw_os_error(libc::ELIBBAD))?.entry;
    Ok(Plan {
        image: image(&loader, plan.name.len())?,
        inode: loader.inode(),
        program: Some((file, elf)),
        entry,
        credentials,
        path,
        ..plan
    })
}

fn host_path(found: &Found) -> Result<Vec<u8>, Errno> {
    Ok(readlinkat(HERE, &found.path, Vec::new())?.into_bytes())
}

/// The path of a file on the host, made as long as a name that will be written over it.
fn image(found: &Found, length: usize) -> Result<CString, Errno> {
    let mut path = host_path(found)?;
    while path.len() < length {
        path.insert(0, b'/');
    }
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// The name that the kernel gives to a process that executes a file.
pub(super) fn comm(name: &[u8]) -> Vec<u8> {
    let file = std::path::Path::new(OsStr::from_bytes(name)).file_name().unwrap_or_default();
    file.as_bytes().iter().copied().take(15).collect()
}
