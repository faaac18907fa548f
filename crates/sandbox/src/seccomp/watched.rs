//! Calls that the identity engine answers when one id is mapped.

use super::{Rule, Verdict};

/// The resource limit that carries a process's credentials, see [`crate::identity`].
const CARRIER: u32 = crate::identity::CARRIER;
/// O_CREAT, and the bit of O_TMPFILE that O_DIRECTORY does not have.
const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)).cast_unsigned();

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
        ]
        .map(|number| (number, Verdict::Notify)),
    );
    #[cfg(target_arch = "x86_64")]
    rules.push((libc::SYS_open, Verdict::NotifyBits(1, CREATES)));
    #[cfg(target_arch = "x86_64")]
    rules.push((libc::SYS_setrlimit, Verdict::IgnoreIf(0, CARRIER, 1)));
    rules.push((libc::SYS_openat, Verdict::NotifyBits(2, CREATES)));
    let keeps = [libc::PR_SET_KEEPCAPS, libc::PR_SET_SECUREBITS].map(i32::cast_unsigned);
    rules.push((libc::SYS_prctl, Verdict::NotifyValues(0, keeps)));
    rules.push((libc::SYS_prlimit64, Verdict::IgnoreIf(1, CARRIER, 2)));
    rules
}

const ALWAYS: &[libc::c_long] = &[
    libc::SYS_capset,
    libc::SYS_execve,
    libc::SYS_execveat,
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
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_newfstatat,
    libc::SYS_openat2,
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
];
