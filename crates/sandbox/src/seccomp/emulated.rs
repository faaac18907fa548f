//! Calls that the emulation answers.

use super::{Rule, Verdict, refused, watched};
use crate::spec::Network;

/// The first call that is not known: newer ones are refused.
pub(super) const UNKNOWN: u32 = 463;

/// Everything that is answered or refused. A call has one rule: the first counts.
pub(super) fn rules(network: Network) -> Vec<Rule> {
    let mut rules: Vec<Rule> = ANSWERED.iter().map(|number| (*number, Verdict::Notify)).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend(LEGACY.iter().map(|number| (*number, Verdict::Notify)));
    rules.push((libc::SYS_sendto, Verdict::NotifySet(4)));
    rules.push(match network {
        Network::None => (libc::SYS_socket, Verdict::Notify),
        Network::Default | Network::Host => (libc::SYS_socket, Verdict::NotifyValues(0, SOCKETS)),
    });
    rules.push((libc::SYS_prctl, Verdict::NotifyValues(0, PRCTL)));
    // Another process's limits; and the limit that carries the state, which nobody else may set.
    rules.push((libc::SYS_prlimit64, Verdict::Notify));
    rules.extend(REFUSED.iter().map(|number| (*number, Verdict::Refuse(libc::EPERM))));
    rules.extend(ABSENT.iter().map(|number| (*number, Verdict::Refuse(libc::ENOSYS))));
    rules.extend(watched::rules());
    rules.extend(refused::native());
    let mut seen = std::collections::BTreeSet::new();
    rules.retain(|(number, _)| seen.insert(*number));
    rules
}

/// The rules of a run that is confined by chroot.
pub(super) fn chrooted(network: Network) -> Vec<Rule> {
    let mut rules: Vec<Rule> = REACHING.iter().map(|number| (*number, Verdict::Notify)).collect();
    rules.extend(OF_SELF.iter().map(|number| (*number, Verdict::NotifySet(0))));
    if network == Network::None {
        rules.push((libc::SYS_socket, Verdict::Notify));
    }
    let device = libc::S_IFCHR;
    rules.push((libc::SYS_mknodat, Verdict::RefuseBits(2, device, libc::EPERM)));
    #[cfg(target_arch = "x86_64")]
    rules.push((libc::SYS_mknod, Verdict::RefuseBits(1, device, libc::EPERM)));
    rules.push((libc::SYS_chroot, Verdict::Refuse(libc::EPERM)));
    rules.extend(REFUSED.iter().map(|number| (*number, Verdict::Refuse(libc::EPERM))));
    rules.extend(ABSENT.iter().map(|number| (*number, Verdict::Refuse(libc::ENOSYS))));
    rules.extend(refused::native());
    rules
}

/// What names a process by number.
const REACHING: &[libc::c_long] = &[
    libc::SYS_ioprio_set,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setpriority,
    libc::SYS_tgkill,
    libc::SYS_tkill,
];

/// What does so too, unless the number is 0, which is the caller itself.
const OF_SELF: &[libc::c_long] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
];

/// A process that gives up being dumpable hides from the one that answers its calls.
const PRCTL: &[u32] = &[
    libc::PR_SET_DUMPABLE.cast_unsigned(),
    libc::PR_SET_KEEPCAPS.cast_unsigned(),
    libc::PR_SET_SECUREBITS.cast_unsigned(),
];

/// Families whose sockets this process makes, or looks at.
const SOCKETS: &[u32] = &[libc::AF_UNIX.cast_unsigned(), libc::AF_NETLINK.cast_unsigned()];

const ANSWERED: &[libc::c_long] = &[
    libc::SYS_bind,
    libc::SYS_capget,
    libc::SYS_chdir,
    libc::SYS_chroot,
    libc::SYS_connect,
    libc::SYS_fchdir,
    libc::SYS_fgetxattr,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_getcwd,
    libc::SYS_getxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_ioprio_set,
    libc::SYS_kill,
    libc::SYS_lgetxattr,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_openat,
    libc::SYS_pidfd_open,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_readlinkat,
    libc::SYS_removexattr,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_setpriority,
    libc::SYS_setxattr,
    libc::SYS_statfs,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_utimensat,
];

#[cfg(target_arch = "x86_64")]
const LEGACY: &[libc::c_long] = &[
    libc::SYS_inotify_init,
    libc::SYS_futimesat,
    libc::SYS_open,
    libc::SYS_readlink,
    libc::SYS_utime,
    libc::SYS_utimes,
];

/// Tracing would be in the way of ours; handles and other processes' descriptors lead out.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_ptrace,
];

/// Calls that programs do without.
const ABSENT: &[libc::c_long] = &[
    // statmount and listmount
    457,
    458,
    libc::SYS_name_to_handle_at,
];
