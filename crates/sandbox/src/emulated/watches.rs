//! Watches of files, which need a path: inotify(7).
//!
//! This process makes each instance, hands it over, and keeps it to add watches to. Which one a program
//! means is known by process and number, or by an ancestor's number where a child inherited it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init as make};
use rustix::io::Errno;

use super::calls::{Answered, CWD, Caller, Reply};
use super::paths::descriptor;
use super::procfs::parent_of;
use super::{World, keep, lock};
use crate::sys::process::group_of;

/// How many instances are kept; Linux gives a user 128.
const KEPT: usize = 64;

/// One instance.
pub(super) struct Watcher {
    process: u32,
    number: u32,
    file: OwnedFd,
}

pub(super) fn init(flags: u64) -> Answered {
    let flags = descriptor(flags);
    if flags & !(libc::IN_CLOEXEC | libc::IN_NONBLOCK) != 0 {
        return Err(Errno::INVAL);
    }
    let close_on_exec = flags & libc::IN_CLOEXEC != 0;
    let flags = CreateFlags::from_bits_retain(flags.cast_unsigned()) | CreateFlags::CLOEXEC;
    Ok(Reply::Watcher { file: make(flags)?, close_on_exec })
}

pub(super) fn add(caller: &Caller<'_>, number: u64, path: u64, mask: u64) -> Answered {
    let mask = WatchFlags::from_bits_retain((mask & u64::from(u32::MAX)) as u32);
    let found = caller.find(CWD, path, !mask.contains(WatchFlags::DONT_FOLLOW))?;
    caller.permit(&caller.meta(&found), 4)?;
    let number = u32::try_from(descriptor(number)).map_err(|_| Errno::BADF)?;
    // The path leads through a link of /proc to the very file.
    let mask = mask - WatchFlags::DONT_FOLLOW;
    let watch = caller
        .world
        .with_watcher(caller.pid, number, |file| add_watch(file, found.path.as_c_str(), mask))?;
    Ok(Reply::Value(i64::from(watch)))
}

impl World {
    /// Keeps an instance under the number that `give` hands it over as.
    pub(super) fn keep_watcher(
        &self,
        pid: u32,
        file: OwnedFd,
        give: impl FnOnce(&OwnedFd) -> Result<u32, Errno>,
    ) -> Result<(), Errno> {
        let process = group_of(pid)?;
        // Held, for the program may be faster than this process.
        let mut watchers = lock(&self.watchers);
        let number = give(&file)?;
        watchers.retain(|it| {
            (it.process, it.number) != (process, number) && parent_of(it.process).is_some()
        });
        keep(&mut watchers, Watcher { process, number, file }, KEPT);
        Ok(())
    }

    /// Does something with the instance that a number of a process means.
    fn with_watcher<T>(
        &self,
        pid: u32,
        number: u32,
        act: impl FnOnce(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let watchers: &VecDeque<Watcher> = &lock(&self.watchers);
        let mut process = Some(group_of(pid)?);
        while let Some(now) = process.filter(|it| *it != self.pid) {
            if let Some(it) = watchers.iter().find(|it| (it.process, it.number) == (now, number)) {
                return act(&it.file);
            }
            process = parent_of(now);
        }
        Err(Errno::INVAL)
    }
}
