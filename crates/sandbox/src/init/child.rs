//! The last steps before the program: limits, capabilities, ids, filter, exec.

use std::ffi::{CString, OsStr, OsString};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, mknodat, open};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, chdir, chroot, setrlimit, setsid, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::identity::{CARRIER, CredentialsId};
use crate::seccomp::Watch;
use crate::spec::{Identity, RunSpec, Security};
use crate::sys::process::{
    close_from, execve, exit_now, no_new_privileges, reset_signals, set_limit,
};
use crate::sys::seccomp::install;
use crate::wire::{Failure, Report, Step};
use crate::{Privilege, seccomp};

/// Docker's default capabilities.
pub(crate) const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Where programs are searched for when the environment has no `PATH`, as in Docker.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the child tells PID 1: a tag, a number, and for a failure the step.
pub(crate) enum Message {
    /// The number of the seccomp listener in the child.
    Listener(i32),
    /// The program could not be executed.
    NotExecutable { program: String, errno: i32 },
    /// The working directory could not be entered.
    NoCwd { errno: i32 },
    /// A step was refused.
    Failed(Failure),
}

impl Message {
    fn write(self, mut to: &PipeWriter) {
        let (tag, number, text) = match self {
            Self::Listener(number) => (b'L', number, String::new()),
            Self::NotExecutable { program, errno } => (b'E', errno, program),
            Self::NoCwd { errno } => (b'C', errno, String::new()),
            Self::Failed(Failure { step, errno }) => (b'F', errno, step),
        };
        let mut bytes = vec![tag];
        bytes.extend(number.to_le_bytes());
        bytes.extend(text.into_bytes());
        // Without a reader there is nobody left to tell.
        let _gone = to.write_all(&bytes);
    }

    /// Reads the next message; `None` if the child went on to the program without one.
    pub(crate) fn read(from: &mut PipeReader) -> Option<Self> {
        let mut head = [0; 5];
        from.read_exact(&mut head).ok()?;
        let [tag, number @ ..] = head;
        let number = i32::from_le_bytes(number);
        if tag == b'L' {
            return Some(Self::Listener(number));
        }
        let text = String::from_utf8_lossy(&super::pid1::read_all(from)).into_owned();
        Some(match tag {
            b'E' => Self::NotExecutable { program: text, errno: number },
            b'C' => Self::NoCwd { errno: number },
            _ => Self::Failed(Failure { step: text, errno: number }),
        })
    }

    /// Turns what went wrong into the report about it.
    pub(crate) fn into_report(self) -> Result<Report, Failure> {
        match self {
            Self::Listener(_) => {
                Err(Failure { step: "seccomp listener".to_owned(), errno: libc::EPROTO })
            }
            Self::NotExecutable { program, errno } => Ok(Report::NotExecutable { program, errno }),
            Self::NoCwd { errno } => Ok(Report::NoCwd { errno }),
            Self::Failed(failure) => Err(failure),
        }
    }
}

/// Becomes the program. `credentials` are those of the user where the identity engine keeps them.
pub(super) fn main(
    spec: &RunSpec,
    watch: Watch,
    credentials: Option<CredentialsId>,
    tell: PipeWriter,
) -> ! {
    let message = match prepare(spec, watch, credentials, &tell) {
        Ok(()) => execute(spec),
        Err(message) => message,
    };
    message.write(&tell);
    exit_now(127)
}

fn prepare(
    spec: &RunSpec,
    watch: Watch,
    credentials: Option<CredentialsId>,
    tell: &PipeWriter,
) -> Result<(), Message> {
    reset_signals();
    basics(spec).map_err(Message::Failed)?;
    chdir(&spec.cwd).map_err(|errno| Message::NoCwd { errno: errno.raw_os_error() })?;
    let insecure = spec.security == Security::Insecure;
    let caps = if insecure {
        CapabilitySet::from_bits_retain(u64::MAX)
    } else {
        CapabilitySet::from_bits_truncate(CAPABILITIES.bits())
    };
    drop_bounding_set(caps).step(|| "capabilities".to_owned()).map_err(Message::Failed)?;
    let kept = if let Some(id) = credentials {
        set_limit(CARRIER, id.0, u64::MAX)
            .step(|| "credentials".to_owned())
            .map_err(Message::Failed)?;
        caps
    } else {
        become_user(&spec.user).step(|| "change of user".to_owned()).map_err(Message::Failed)?;
        if spec.user.uid == 0 || insecure { caps } else { CapabilitySet::empty() }
    };
    // The identity engine has its calls in the same filter.
    let watched = watch != Watch::Nothing;
    if watched || !insecure {
        let filter = seccomp::filter(spec.security, watch);
        let listener = install(&filter, watched)
            .step(|| "seccomp filter".to_owned())
            .map_err(Message::Failed)?;
        if watched {
            Message::Listener(listener).write(tell);
            // Waits until it is taken over, for executing the program closes it here: this call, which
            // fails, is watched whatever else is.
            let _fails = mknodat(CWD, c"", FileType::CharacterDevice, Mode::empty(), 0);
        }
    }
    keep(kept, insecure).step(|| "capabilities".to_owned()).map_err(Message::Failed)
}

/// Becomes the program of an emulated run, whose calls wait from here on for another process.
///
/// That process shares the table of descriptors until the program is executed.
pub(crate) fn emulated(spec: &RunSpec, descriptors: Rlimit, tell: PipeWriter) -> ! {
    let message = match prepare_emulated(spec, descriptors, &tell) {
        Ok(()) => execute(spec),
        Err(failure) => Message::Failed(failure),
    };
    message.write(&tell);
    exit_now(127)
}

fn prepare_emulated(spec: &RunSpec, descriptors: Rlimit, tell: &PipeWriter) -> Result<(), Failure> {
    reset_signals();
    setrlimit(Resource::Nofile, descriptors).step(|| "limit of descriptors".to_owned())?;
    basics(spec)?;
    chdir("/").step(|| "enter /".to_owned())?;
    no_new_privileges().step(|| "no new privileges".to_owned())?;
    keep(NETWORK, false).step(|| "capabilities".to_owned())?;
    let filter = seccomp::emulated(spec.network);
    let listener = install(&filter, true).step(|| "seccomp filter".to_owned())?;
    Message::Listener(listener).write(tell);
    Ok(())
}

/// Becomes the program of a run that is confined by chroot.
pub(crate) fn chrooted(spec: &RunSpec, root: &Path, descriptors: Rlimit, tell: PipeWriter) -> ! {
    let message = match prepare_chrooted(spec, root, descriptors, &tell) {
        Ok(()) => execute(spec),
        Err(message) => message,
    };
    message.write(&tell);
    exit_now(127)
}

fn prepare_chrooted(
    spec: &RunSpec,
    root: &Path,
    descriptors: Rlimit,
    tell: &PipeWriter,
) -> Result<(), Message> {
    reset_signals();
    setrlimit(Resource::Nofile, descriptors)
        .step(|| "limit of descriptors".to_owned())
        .map_err(Message::Failed)?;
    basics(spec).map_err(Message::Failed)?;
    chroot(root).step(|| "change the root".to_owned()).map_err(Message::Failed)?;
    chdir("/").step(|| "enter the new root".to_owned()).map_err(Message::Failed)?;
    chdir(&spec.cwd).map_err(|errno| Message::NoCwd { errno: errno.raw_os_error() })?;
    confine(spec, tell).map_err(Message::Failed)
}

fn confine(spec: &RunSpec, tell: &PipeWriter) -> Result<(), Failure> {
    no_new_privileges().step(|| "no new privileges".to_owned())?;
    // With the first a chroot is left again, with the other a disk of the host is read.
    let caps = CAPABILITIES - CapabilitySet::SYS_CHROOT - CapabilitySet::MKNOD;
    drop_bounding_set(caps).step(|| "capabilities".to_owned())?;
    become_user(&spec.user).step(|| "change of user".to_owned())?;
    let filter = seccomp::chrooted(spec.network);
    let listener = install(&filter, true).step(|| "seccomp filter".to_owned())?;
    Message::Listener(listener).write(tell);
    let kept = if spec.user.uid == 0 { caps } else { CapabilitySet::empty() };
    keep(kept, false).step(|| "capabilities".to_owned())
}

/// What a program may keep of root where its users are not the kernel's.
const NETWORK: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_BIND_SERVICE);

/// Keeps these capabilities and no other; `ambient` ones stay with a program of any user.
fn keep(kept: CapabilitySet, ambient: bool) -> Result<(), Errno> {
    let kept = capabilities(None)?.permitted.intersection(kept);
    let inheritable = if ambient { kept } else { CapabilitySet::empty() };
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    for capability in inheritable.iter() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

fn basics(spec: &RunSpec) -> Result<(), Failure> {
    setsid().step(|| "new session".to_owned())?;
    let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| "/dev/null".to_owned())?;
    rustix::stdio::dup2_stdin(&null).step(|| "standard input".to_owned())?;
    close_from(3);
    umask(Mode::from_raw_mode(0o022));
    for limit in &spec.ulimits {
        let name = || format!("ulimit {}", limit.name);
        let resource = resource(&limit.name).ok_or(Errno::INVAL).step(name)?;
        // This one limits nothing, and the identity engine has a use for it.
        if resource == CARRIER
            && matches!(spec.privilege, Privilege::SingleId | Privilege::Emulated)
        {
            continue;
        }
        set_limit(resource, limit.soft, limit.hard).step(name)?;
    }
    debug_assert!(!matches!(spec.privilege, Privilege::None { .. }), "run() refuses these");
    Ok(())
}

/// The names that [`crate::Ulimit`] may have.
pub const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

fn resource(name: &str) -> Option<u32> {
    Some(match name {
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return None,
    })
}

fn drop_bounding_set(keep: CapabilitySet) -> Result<(), Errno> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if keep.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first number that the kernel does not know.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Changes ids but keeps the right to install a filter until that is done.
fn become_user(user: &Identity) -> Result<(), Errno> {
    let groups: Vec<Gid> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    set_thread_groups(&groups)?;
    let gid = Gid::from_raw(user.gid);
    let uid = Uid::from_raw(user.uid);
    // So that a user can open /dev/stdout, which is opening the pipe again.
    rustix::fs::fchown(rustix::stdio::stdout(), Some(uid), Some(gid))?;
    rustix::fs::fchown(rustix::stdio::stderr(), Some(uid), Some(gid))?;
    set_thread_res_gid(gid, gid, gid)?;
    set_keep_capabilities(true)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_keep_capabilities(false)?;
    let mut sets = capabilities(None)?;
    sets.effective = sets.permitted;
    set_capabilities(None, sets)
}

/// Executes the program; returns why that failed.
fn execute(spec: &RunSpec) -> Message {
    let name = spec.argv.first().cloned().unwrap_or_default();
    let failed = |errno: Errno| Message::NotExecutable {
        program: name.to_string_lossy().into_owned(),
        errno: errno.raw_os_error(),
    };
    let argv: Option<Vec<CString>> = spec.argv.iter().map(|text| c_string(text)).collect();
    let env: Option<Vec<CString>> = spec.env.iter().map(|(key, value)| pair(key, value)).collect();
    let (Some(argv), Some(env)) = (argv, env) else { return failed(Errno::INVAL) };
    if name.is_empty() {
        return failed(Errno::NOENT);
    }
    let mut reason = Errno::NOENT;
    for candidate in candidates(spec, &name) {
        match execve(&candidate, &argv, &env) {
            Errno::NOENT | Errno::NOTDIR => {}
            errno => reason = errno,
        }
    }
    failed(reason)
}

fn candidates(spec: &RunSpec, name: &OsStr) -> Vec<CString> {
    if name.as_bytes().contains(&b'/') {
        return c_string(name).into_iter().collect();
    }
    let path = spec.env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value);
    let path = path.map_or(DEFAULT_PATH, |path| path.as_bytes());
    path.split(|byte| *byte == b':')
        .filter_map(|folder| {
            let folder = if folder.is_empty() { b".".as_slice() } else { folder };
            CString::new([folder, b"/", name.as_bytes()].concat()).ok()
        })
        .collect()
}

fn c_string(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}

fn pair(key: &OsString, value: &OsString) -> Option<CString> {
    CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok()
}
