//! Calls that no RUN may make: those that reach the kernel of the host rather than the container.
//!
//! The list follows the intent of Docker's default profile for a process without CAP_SYS_ADMIN.

use libc::{ENOSYS, EPERM};

use super::{Rule, Verdict};

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NAMESPACES: u32 = 0x7e02_0000;

/// The native calls.
pub(super) fn native() -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        REFUSED.iter().map(|number| (*number, Verdict::Refuse(EPERM))).collect();
    rules.extend(ABSENT.iter().map(|number| (*number, Verdict::Refuse(ENOSYS))));
    rules.push((libc::SYS_clone, Verdict::RefuseBits(0, NAMESPACES, EPERM)));
    rules.push((libc::SYS_unshare, Verdict::RefuseBits(0, NAMESPACES | 0x80, EPERM)));
    #[cfg(target_arch = "x86_64")]
    rules.extend([libc::SYS_iopl, libc::SYS_ioperm].map(|number| (number, Verdict::Refuse(EPERM))));
    rules
}

/// Answered with ENOSYS, because programs then fall back to what can be checked here: the flags of
/// clone3 lie behind a pointer, and the rings of io_uring pass by every filter.
const ABSENT: &[libc::c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// The same for 32-bit programs, whose calls have other numbers.
pub(super) fn narrow() -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        NARROW.iter().map(|number| (*number, Verdict::Refuse(EPERM))).collect();
    rules.extend([425, 426, 427, 435].map(|number| (number, Verdict::Refuse(ENOSYS))));
    rules.push((120, Verdict::RefuseBits(0, NAMESPACES, EPERM)));
    rules
}

/// i386 and 32-bit ARM share the numbers of the old calls; the newest are the same everywhere.
#[cfg(not(target_arch = "aarch64"))]
const NARROW: &[libc::c_long] = &[
    21, 22, 25, 51, 52, 74, 79, 87, 88, 101, 103, 110, 111, 115, 121, 127, 128, 129, 131, 169, 217,
    264, 283, 286, 287, 288, 310, 317, 336, 342, 343, 346, 349, 350, 357, 374, 404, 405, 428, 429,
    430, 431, 432, 433, 442, 443,
];
#[cfg(target_arch = "aarch64")]
const NARROW: &[libc::c_long] = &[
    21, 52, 51, 74, 79, 87, 88, 103, 111, 115, 121, 128, 129, 131, 169, 218, 262, 309, 310, 311,
    337, 344, 347, 364, 371, 372, 375, 378, 379, 386, 388, 404, 405, 428, 429, 430, 431, 432, 433,
    442, 443,
];
