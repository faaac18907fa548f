//! Calls that the identity engine answers in a user namespace.

use super::{Rule, Verdict};

/// The resource limit that carries a process's credentials, see [`crate::identity`].
const CARRIER: u32 = crate::identity::CARRIER;
/// Opening that makes or changes a file: O_TMPFILE without the bit that it shares with O_DIRECTORY.
const CHANGES: u32 = (libc::O_CREAT
    | libc::O_WRONLY
    | libc::O_RDWR
    | libc::O_TRUNC
    | (libc::O_TMPFILE & !libc::O_DIRECTORY))
    .cast_unsigned();

/// Everything that is watched.
pub(super) fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = ALWAYS.iter().map(|number| (*number, Verdict::Notify)).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend(
        [
            libc::SYS_chown,
            libc::SYS_lchown,
            libc::SYS_stat,
            libc::SYS_lstat,
            libc::SYS_mkdir,
            libc::SYS_mknod,
            libc::SYS_symlink,
            libc::SYS_creat,
            libc::SYS_access,
            libc::SYS_chmod,
            libc::SYS_link,
            libc::SYS_rename,
            libc::SYS_rmdir,
            libc::SYS_unlink,
        ]
        .map(|number| (number, Verdict::Notify)),
    );
    // riscv64 never had this one.
    #[cfg(not(target_arch = "riscv64"))]
    rules.push((libc::SYS_renameat, Verdict::Notify));
    #[cfg(target_arch = "x86_64")]
    rules.push((libc::SYS_open, Verdict::NotifyBits(1, CHANGES)));
    #[cfg(target_arch = "x86_64")]
    rules.push((libc::SYS_setrlimit, Verdict::IgnoreIf(0, CARRIER, 1)));
    rules.push((libc::SYS_openat, Verdict::NotifyBits(2, CHANGES)));
    rules.push((libc::SYS_getsockopt, Verdict::NotifyValues(2, PEER)));
    rules.push((libc::SYS_prctl, Verdict::NotifyValues(0, KEEPS)));
    rules.push((libc::SYS_prlimit64, Verdict::IgnoreIf(1, CARRIER, 2)));
    rules
}

/// Who is at the other end of a socket.
const PEER: &[u32] = &[libc::SO_PEERCRED.cast_unsigned()];

/// What has to do with capabilities that outlast root.
const KEEPS: &[u32] =
    &[libc::PR_SET_KEEPCAPS.cast_unsigned(), libc::PR_SET_SECUREBITS.cast_unsigned()];

/// A bit that the kinds of both devices have, and links, which mknod(2) refuses.
const DEVICE: u32 = libc::S_IFCHR;

/// What makes a device, which no user namespace may.
pub(super) fn new_devices() -> Vec<Rule> {
    vec![
        (libc::SYS_chroot, Verdict::Notify),
        (libc::SYS_mknodat, Verdict::NotifyBits(2, DEVICE)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, Verdict::NotifyBits(1, DEVICE)),
    ]
}

/// What has to do with devices, which no user namespace may make. Open files are never asked about.
pub(super) fn devices() -> Vec<Rule> {
    let empty = libc::AT_EMPTY_PATH.cast_unsigned();
    let lists = [libc::SYS_flistxattr, libc::SYS_listxattr, libc::SYS_llistxattr];
    let mut rules: Vec<Rule> = lists.map(|number| (number, Verdict::Notify)).to_vec();
    rules.extend(new_devices());
    rules.push((libc::SYS_newfstatat, Verdict::NotifyUnlessBits(3, empty)));
    rules.push((libc::SYS_statx, Verdict::NotifyUnlessBits(2, empty)));
    #[cfg(target_arch = "x86_64")]
    rules.extend([(libc::SYS_stat, Verdict::Notify), (libc::SYS_lstat, Verdict::Notify)]);
    rules
}

const ALWAYS: &[libc::c_long] = &[
    libc::SYS_bind,
    libc::SYS_capset,
    libc::SYS_chroot,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_flistxattr,
    libc::SYS_fstat,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getuid,
    libc::SYS_linkat,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_newfstatat,
    libc::SYS_openat2,
    libc::SYS_renameat2,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
];
