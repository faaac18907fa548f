//! /proc as a run may see it: the machine, and the run's own processes.
//!
//! Other processes are not there: their environment, memory and root would lead out. The magic links
//! of the run's own (`exe`, `cwd`, `root`, `fd/N`) say and mean what is true inside of the tree.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, readlinkat};
use rustix::io::Errno;

use super::World;
use super::found::{Content, Found};
use super::mounts::Source;
use super::paths::{Next, View, path_of};
use crate::init::fsys::look_up;
use crate::sys::memory;
use crate::sys::process::group_of;

/// Paths that say too much about the host; Docker hides them.
const HIDDEN: &[&[u8]] = &[
    b"acpi",
    b"asound",
    b"interrupts",
    b"kcore",
    b"keys",
    b"latency_stats",
    b"sched_debug",
    b"scsi",
    b"timer_list",
    b"timer_stats",
    b"sysrq-trigger",
    b"kmsg",
];

/// Files of a process that may be written to.
const WRITABLE: &[&[u8]] =
    &[b"attr", b"comm", b"coredump_filter", b"loginuid", b"mem", b"oom_score_adj", b"oom_adj"];

/// Whether a path of /proc may be opened for writing.
pub(super) fn may_write(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/').filter(|it| !it.is_empty());
    let process = names.next().is_some_and(|it| it.iter().all(u8::is_ascii_digit));
    let mut name = names.next();
    if name == Some(b"task") {
        name = names.nth(1);
    }
    process && name.is_some_and(|it| WRITABLE.contains(&it) || it == b"fd")
}

/// Walks from the top of /proc: to `first`, and on by `rest`.
pub(super) fn walk(
    world: &World,
    view: &View,
    first: &[u8],
    rest: &[Vec<u8>],
    follow: bool,
) -> Result<Next, Errno> {
    match first {
        b"self" if rest.is_empty() && !follow => {
            let link = group_of(view.pid)?.to_string().into_bytes();
            linked(world, b"self", link)
        }
        b"self" => process(world, view, group_of(view.pid)?, None, rest, follow),
        b"thread-self" => process(world, view, group_of(view.pid)?, Some(view.pid), rest, follow),
        b"mounts" | b"net" if follow || !rest.is_empty() => {
            let own = [b"/proc/self/", first].concat();
            Ok(Next::From(join(own, rest)))
        }
        name if HIDDEN.contains(&name) => Err(Errno::ACCESS),
        name => match number(name) {
            Some(pid) if is_inside(world, pid) => process(world, view, pid, None, rest, follow),
            Some(_) => Err(Errno::NOENT),
            None => plain(world, join(name.to_vec(), rest)),
        },
    }
}

fn number(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

fn join(mut path: Vec<u8>, rest: &[Vec<u8>]) -> Vec<u8> {
    for name in rest {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

fn proc_of(world: &World) -> Result<(&OwnedFd, Arc<super::mounts::Mount>), Errno> {
    let mount = world.mounts.proc().ok_or(Errno::NOENT)?;
    match &mount.source {
        Source::Proc(proc) => Ok((proc, Arc::clone(mount))),
        Source::Directory(_) | Source::File(_) => Err(Errno::NOENT),
    }
}

/// A file without anything magic about it.
fn plain(world: &World, path: Vec<u8>) -> Result<Next, Errno> {
    let (proc, mount) = proc_of(world)?;
    let limits = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = look_up(proc, path.as_slice(), OFlags::NOFOLLOW, limits)?;
    Ok(Next::End(Box::new(Found::new(file, mount)?)))
}

/// A link that says something else here.
fn linked(world: &World, path: &[u8], link: Vec<u8>) -> Result<Next, Errno> {
    let Next::End(mut found) = plain(world, path.to_vec())? else { return Err(Errno::NOENT) };
    found.link = Some(link);
    Ok(Next::End(found))
}

/// Walks from the directory of a process, or of one of its threads.
fn process(
    world: &World,
    view: &View,
    pid: u32,
    thread: Option<u32>,
    rest: &[Vec<u8>],
    follow: bool,
) -> Result<Next, Errno> {
    let rest: Vec<&[u8]> = rest.iter().map(Vec::as_slice).collect();
    let rest = match rest.as_slice() {
        // A link out of here and back is too rare to be followed exactly.
        names if names.contains(&&b".."[..]) => return climb(pid, thread, names),
        [b"task", tid, rest @ ..] if thread.is_none() => {
            let tid = number(tid).ok_or(Errno::NOENT)?;
            let rest: Vec<Vec<u8>> = rest.iter().map(|it| it.to_vec()).collect();
            return process(world, view, pid, Some(tid), &rest, follow);
        }
        rest => rest.to_vec(),
    };
    let base = thread.map_or(format!("{pid}"), |tid| format!("{pid}/task/{tid}")).into_bytes();
    let owned: Vec<Vec<u8>> = rest.iter().map(|it| it.to_vec()).collect();
    let full = join(base, &owned);
    match rest.as_slice() {
        [b"exe" | b"cwd" | b"root", after @ ..] => {
            let means = meaning(world, view, thread.unwrap_or(pid), rest[0])?;
            if after.is_empty() && !follow {
                let shown = view.inside(&means).unwrap_or(&means).to_vec();
                return linked(world, &full, shown);
            }
            Ok(Next::From(join(means, &owned[1..])))
        }
        [b"fd", number, after @ ..] => descriptor(world, view, &full, (pid, number), after, follow),
        [b"map_files", _, ..] => Err(Errno::ACCESS),
        [b"maps"] => contents(world, full, Content::Maps(pid)),
        [b"status"] => contents(world, full, Content::Status(thread.unwrap_or(pid))),
        _ => plain(world, full),
    }
}

/// A path with `..` in it, in the terms of /proc.
fn climb(pid: u32, thread: Option<u32>, names: &[&[u8]]) -> Result<Next, Errno> {
    let mut path: Vec<Vec<u8>> = vec![b"proc".to_vec(), pid.to_string().into_bytes()];
    if let Some(tid) = thread {
        path.extend([b"task".to_vec(), tid.to_string().into_bytes()]);
    }
    let magic: &[&[u8]] = &[b"exe", b"cwd", b"root"];
    for (at, name) in names.iter().enumerate() {
        match *name {
            b".." => drop(path.pop()),
            name if magic.contains(&name) && names[at..].contains(&&b".."[..]) => {
                return Err(Errno::ACCESS);
            }
            b"." => {}
            name => path.push(name.to_vec()),
        }
    }
    Ok(Next::From(join(Vec::new(), &path)))
}

fn contents(world: &World, path: Vec<u8>, content: Content) -> Result<Next, Errno> {
    let Next::End(mut found) = plain(world, path)? else { return Err(Errno::NOENT) };
    found.content = Some(content);
    Ok(Next::End(found))
}

/// What a magic link of a process means, as a path of the tree.
fn meaning(world: &World, view: &View, pid: u32, link: &[u8]) -> Result<Vec<u8>, Errno> {
    let state = world.state(pid);
    match link {
        b"exe" => Ok(state.program.to_vec()),
        b"cwd" => path_of(world, &world.directory(state.cwd)),
        _ if state.root == 0 => Ok(b"/".to_vec()),
        _ => path_of(world, &world.directory(state.root)),
    }
    .map(|path| if path.is_empty() { view.inside(b"/").unwrap_or(b"/").to_vec() } else { path })
}

fn descriptor(
    world: &World,
    view: &View,
    full: &[u8],
    (pid, number): (u32, &[u8]),
    after: &[&[u8]],
    follow: bool,
) -> Result<Next, Errno> {
    let number: u32 = self::number(number).ok_or(Errno::NOENT)?;
    let link = format!("/proc/{pid}/fd/{number}");
    let host = readlinkat(CWD, link.as_str(), Vec::new()).map_err(|_| Errno::NOENT)?;
    let means = world.mounts.path_in_tree(host.as_bytes());
    if after.is_empty() && !follow {
        let shown = means.as_deref().and_then(|it| view.inside(it)).unwrap_or(host.as_bytes());
        return linked(world, full, shown.to_vec());
    }
    if !after.is_empty() {
        let means = means.ok_or(Errno::NOTDIR)?;
        let after: Vec<Vec<u8>> = after.iter().map(|it| it.to_vec()).collect();
        return Ok(Next::From(join(means, &after)));
    }
    let path = CString::new(link.as_str()).map_err(|_| Errno::INVAL)?;
    if let Some(found) = world.stood_for(&memory::stat(&path, 0)?) {
        return Ok(Next::End(Box::new(found)));
    }
    // What it has open it may open again.
    let file = openat(CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    // Pipes, sockets and their like are of no file system that is shown.
    let mount = match world.mounts.proc() {
        Some(proc) if !host.as_bytes().starts_with(b"/") => Arc::clone(proc),
        _ => Arc::clone(world.mounts.of_host(host.as_bytes())),
    };
    Ok(Next::End(Box::new(Found::new(file, mount)?)))
}

/// Whether a process is one of the run's: it descends from this one, which adopts orphans.
pub(super) fn is_inside(world: &World, pid: u32) -> bool {
    let mut pid = pid;
    for _ in 0..4096 {
        match parent_of(pid) {
            Some(parent) if parent == world.pid => return true,
            Some(0 | 1) | None => return false,
            Some(parent) => pid = parent,
        }
    }
    false
}

/// The parent of a process.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let after = String::from_utf8_lossy(&stat[after..]).into_owned();
    after.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// All processes of the run.
pub(super) fn all_inside(world: &World) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|it| it.file_name().to_str()?.parse().ok())
        .filter(|pid| is_inside(world, *pid))
        .collect()
}

/// What is read in place of a file.
pub(super) fn read(world: &World, content: Content, path: &CString) -> Result<Vec<u8>, Errno> {
    let path = std::path::Path::new(path.to_str().map_err(|_| Errno::INVAL)?);
    let text = std::fs::read(path).map_err(|_| Errno::SRCH)?;
    Ok(match content {
        Content::Maps(_) => maps(&text, world.mounts.host()),
        Content::Status(pid) => status(world, &text, pid),
    })
}

/// Names the files of the tree as they are named inside.
fn maps(text: &[u8], root: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let start = line.windows(2).position(|it| it == b" /").map_or(line.len(), |at| at + 1);
        let (head, path) = line.split_at(start);
        shown.extend_from_slice(head);
        shown.extend_from_slice(path.strip_prefix(root).unwrap_or(path));
    }
    shown
}

/// Shows the ids that a process has here.
fn status(world: &World, text: &[u8], pid: u32) -> Vec<u8> {
    let state = world.state(pid);
    let (credentials, umask) = (&state.credentials, state.umask);
    let mut shown = String::new();
    for line in String::from_utf8_lossy(text).lines() {
        let ids = |name: &str, ids: crate::identity::credentials::Ids| {
            format!("{name}:\t{}\t{}\t{}\t{}", ids.real, ids.effective, ids.saved, ids.file_system)
        };
        let line = match line.split(':').next() {
            Some("Uid") => ids("Uid", credentials.user),
            Some("Gid") => ids("Gid", credentials.group),
            Some("Umask") => format!("Umask:\t{umask:04o}"),
            Some("Groups") => {
                let groups: String = credentials.groups.iter().map(|it| format!("{it} ")).collect();
                format!("Groups:\t{groups}")
            }
            _ => line.to_owned(),
        };
        shown.push_str(&line);
        shown.push('\n');
    }
    shown.into_bytes()
}
