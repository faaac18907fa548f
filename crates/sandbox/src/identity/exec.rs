//! Executing a file: setuid and setgid programs get the recorded owner's ids.

use std::io::Read;

use rustix::io::Errno;

use super::{Answer, Call, Engine, Holder, stat};
use crate::sys::memory;

pub(super) fn answer(engine: &mut Engine, call: &Call) -> Option<Answer> {
    let [one, two, _, _, five, _] = call.arguments;
    let place = if call.number == libc::SYS_execveat {
        stat::place(engine, call.pid, one, two, five)?
    } else {
        stat::place(engine, call.pid, libc::AT_FDCWD as u64, one, 0)?
    };
    let old = engine.credentials(call.pid);
    let stat = memory::stat(&place.path, place.flags()).ok()?;
    let runs = stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_mode & 0o111 != 0;
    let owner = engine.recorded(&place).unwrap_or((0, 0));
    if runs && !old.permits(owner, stat.st_mode, 1) {
        return Some(Answer::Value(Err(Errno::ACCESS)));
    }
    let changes = stat.st_mode & (libc::S_ISUID | libc::S_ISGID) != 0;
    let (mut user, mut group) = (None, None);
    if runs && changes && !is_script(&place.path) {
        user = (stat.st_mode & libc::S_ISUID != 0).then_some(owner.0);
        let group_bits = libc::S_ISGID | libc::S_IXGRP;
        group = (stat.st_mode & group_bits == group_bits).then_some(owner.1);
    }
    let new = old.executed(user, group);
    if new != old && runs {
        // Whether the execution succeeds is not known here; a file that cannot be executed after all
        // leaves a caller with the new ids, which callers that fail to execute rarely use.
        engine.set_credentials(call.pid, new).ok()?;
    }
    None
}

/// The bits do not count for scripts.
fn is_script(path: &std::ffi::CStr) -> bool {
    let path = std::path::Path::new(std::ffi::OsStr::new(path.to_str().unwrap_or_default()));
    let mut start = [0; 2];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_err() || &start == b"#!"
}
