//! Processes: fork, exec, signals, limits, namespaces.
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use std::ffi::{CStr, CString};
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Turns a C return value into a result.
pub(super) fn check(value: libc::c_long) -> Result<libc::c_long, Errno> {
    if value == -1 { Err(last_errno()) } else { Ok(value) }
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// The caller; the child's id.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Forks. The caller must have one thread only: the child may then do anything. See fork(2).
pub(crate) fn fork() -> Result<Forked, Errno> {
    // SAFETY: callers are single-threaded (the start of main, or the re-executed init), so no lock
    // can be held by a thread that does not exist in the child.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    let pid = i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?;
    Ok(Pid::from_raw(pid).map_or(Forked::Child, Forked::Parent))
}

/// Forks a child that shares the table of descriptors until it executes a program. See clone(2).
///
/// The caller must have one thread only, as for [`fork`].
pub(crate) fn fork_with_descriptors() -> Result<Forked, Errno> {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and without a stack this is fork(2), but for the descriptors.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    let pid = i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?;
    Ok(Pid::from_raw(pid).map_or(Forked::Child, Forked::Parent))
}

/// Reaps one child that has ended, if one has; its id and its status as wait(2) has it.
pub(crate) fn reap() -> Result<Option<(u32, i32)>, Errno> {
    let mut status = 0;
    let flags = libc::__WALL | libc::WNOHANG;
    // SAFETY: `status` is valid for writes.
    let pid = check(libc::c_long::from(unsafe { libc::waitpid(-1, &raw mut status, flags) }))?;
    let ended = pid != 0 && !libc::WIFSTOPPED(status);
    Ok(ended.then(|| (pid.unsigned_abs() as u32, status)))
}

/// Whether children of this process vanish when they end, instead of waiting to be asked for.
pub(crate) fn reap_by_itself(does: bool) {
    let action = if does { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: both are actions that any signal may have.
    unsafe { libc::signal(libc::SIGCHLD, action) };
}

/// Gives up the right to gain privileges by executing a program. See prctl(2).
pub(crate) fn no_new_privileges() -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    check(libc::c_long::from(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }))
        .map(drop)
}

/// Executes a program; returns only on failure. See execve(2).
pub(crate) fn execve(program: &CStr, argv: &[CString], env: &[CString]) -> Errno {
    let terminated = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (terminated(argv), terminated(env));
    // SAFETY: both arrays end in null and point to strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    last_errno()
}

/// Leaves the process at once, running no destructors and flushing nothing. See _exit(2).
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: always sound; the kernel takes everything back.
    unsafe { libc::_exit(code) }
}

/// Blocks SIGCHLD and returns a descriptor that is readable when one is pending. See signalfd(2).
pub(crate) fn child_signals() -> Result<OwnedFd, Errno> {
    let mut set = empty_set();
    // SAFETY: `set` is initialised.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
    // SAFETY: `set` is initialised and the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    // SAFETY: `set` is initialised.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    let fd = check(libc::c_long::from(fd))?;
    let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data; sigemptyset then gives it its meaning.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for writes.
    unsafe { libc::sigemptyset(&raw mut set) };
    set
}

/// Gives every signal its default action but SIGPIPE, which stays ignored. For the start of a process:
/// those that it forks need [`reset_signals`] alone.
pub(crate) fn forget_signals() {
    (1..=64).filter(|it| *it != libc::SIGPIPE).for_each(reset_signal);
}

/// Unblocks all signals and gives SIGPIPE its default action, as a fresh program expects.
pub(crate) fn reset_signals() {
    reset_signal(libc::SIGPIPE);
    let set = empty_set();
    // SAFETY: `set` is initialised and the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// Not by way of the C library, which keeps two signals to itself, and ignores them in what it spawns.
fn reset_signal(signal: i32) {
    // The kernel's structure, whatever its fields are called: all zeroes are SIG_DFL and no flags.
    let default = [0_u64; 4];
    // SIGKILL and SIGSTOP refuse it.
    // SAFETY: the array is as long as the largest of the structures, and the old one is not asked for.
    unsafe {
        let none = std::ptr::null_mut::<u64>();
        libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8);
    }
}

/// Kills every process of this pid namespace but this one, its PID 1. See kill(2).
pub(crate) fn kill_all_others() {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Sends a signal to a process. See kill(2).
pub(crate) fn send_signal(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Owns a descriptor that another process has put into the table that both share.
pub(crate) fn adopt(number: i32) -> OwnedFd {
    // SAFETY: the process that opened it has told its number and uses it no more.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Moves the calling process into new namespaces. See unshare(2).
pub(crate) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: no flag that unshares the descriptor table is ever passed.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Sets both limits of a resource. See setrlimit(2).
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let (null, limit) = (std::ptr::null_mut::<libc::rlimit64>(), &raw const limit);
    // SAFETY: the limit is initialised and the old one is not asked for.
    let done = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit, null) };
    check(done).map(drop)
}

/// Reads both limits of a resource of another process.
pub(crate) fn limit_of(pid: u32, resource: u32) -> Result<(u64, u64), Errno> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let null = std::ptr::null::<libc::rlimit64>();
    // SAFETY: `old` is valid for writes and no new limit is given.
    let done = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, null, &raw mut old) };
    check(done).map(|_| (old.rlim_cur, old.rlim_max))
}

/// Sets the soft limit of a resource of another process.
pub(crate) fn set_limit_of(pid: u32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let (null, limit) = (std::ptr::null_mut::<libc::rlimit64>(), &raw const limit);
    // SAFETY: the limit is initialised and the old one is not asked for.
    let done = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, limit, null) };
    check(done).map(drop)
}

/// Closes every descriptor. For the end of a process whose owners of descriptors are all forgotten.
pub(crate) fn close_all() {
    // SAFETY: the caller promises that nothing owns them any more.
    unsafe { libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, 0) };
}

/// Closes every descriptor from `first` on when a program is executed. See close_range(2).
pub(crate) fn close_from(first: u32) {
    // SAFETY: called just before exec or at the start of init, where nothing else owns them.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// The process that a thread belongs to.
pub(crate) fn group_of(pid: u32) -> Result<u32, Errno> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| Errno::SRCH)?;
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    group.ok_or(Errno::SRCH)
}
