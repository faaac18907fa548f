//! The process that starts the program, answers its calls, and ends what it leaves.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getrlimit, getuid, kill_process, set_child_subreaper,
    set_parent_process_death_signal, setrlimit,
};

use super::calls::{Caller, Reply, answer};
use super::mounts::{Mounts, set_up};
use super::paths::{Known, View, find};
use super::procfs::parent_of;
use super::state::{State, States};
use super::{World, chrooted, exec, found, lock, stat};
use crate::identity::credentials::Credentials;
use crate::identity::{CARRIER, Call};
use crate::init::child::{self, Message};
use crate::init::fsys::look_up;
use crate::init::stubs;
use crate::notify::{Server, serve};
use crate::places::Kind;
use crate::spec::{RootSpec, RunSpec, Security};
use crate::sys::notify::{self, Notification};
use crate::sys::process::{
    Forked, adopt, child_signals, fork_with_descriptors, limit_of, reap, set_limit_of,
};
use crate::wire::{self, Failure, Report, Step};
use crate::{Owner, Privilege};

/// Runs the program to its end and reports; the result is the exit code, which nobody reads.
pub(crate) fn main(spec: &RunSpec, life: OwnedFd) -> i32 {
    // Standard input is the stream to the builder until the program gets an empty one.
    let control = fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
    let Ok(control) = control.map(UnixStream::from) else { return 2 };
    let report = run(spec, &life).unwrap_or_else(Report::Failed);
    i32::from(wire::send_report(&report, &control).is_err())
}

fn run(spec: &RunSpec, life: &OwnedFd) -> Result<Report, Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).step(|| "death signal".to_owned())?;
    set_child_subreaper(Some(getpid())).step(|| "adopt orphans".to_owned())?;
    rustix::process::umask(Mode::empty());
    let descriptors = more_descriptors();
    if spec.security == Security::Insecure {
        let step = "RUN --security=insecure, which only namespaces can give".to_owned();
        return Err(Failure { step, errno: libc::EPERM });
    }
    let RootSpec::Plain(root) = &spec.root else {
        let step = "overlay, which cannot be mounted here".to_owned();
        return Err(Failure { step, errno: libc::EPERM });
    };
    make_cwd(spec, root)?;
    let (mounts, undo) = if is_chrooted(spec) {
        let undo = chrooted::set_up(spec, root)?;
        (Mounts::new(root).step(|| format!("open {}", root.display()))?, undo)
    } else {
        set_up(spec, root)?
    };
    let outcome = supervise(spec, root, mounts, life, descriptors);
    end_others();
    undo.undo();
    outcome
}

fn is_chrooted(spec: &RunSpec) -> bool {
    spec.privilege == Privilege::Chroot
}

/// Directories and sockets are kept open here; the program gets the limit that there was.
fn more_descriptors() -> Rlimit {
    let old = getrlimit(Resource::Nofile);
    let _as_it_was =
        setrlimit(Resource::Nofile, Rlimit { current: old.maximum, maximum: old.maximum });
    old
}

/// Makes the working directory where it is missing, as the user's. It stays.
fn make_cwd(spec: &RunSpec, root: &Path) -> Result<(), Failure> {
    let step = || format!("create the working directory {}", spec.cwd.display());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat(rustix::fs::CWD, root, flags, Mode::empty()).step(step)?;
    let mut made = Vec::new();
    match stubs::ensure(root.as_fd(), &spec.cwd, Kind::Directory, &mut made) {
        // Something else is in the way, which is told below.
        Err(Errno::NOTDIR) => return Ok(()),
        done => done.step(step)?,
    }
    stubs::keep(made, spec.user.uid, spec.user.gid, !is_chrooted(spec)).step(step)
}

/// The states, with that of the program; `None` where there is no such working directory.
fn first_state(spec: &RunSpec, world: &World) -> Result<u64, Errno> {
    let view = View::new(
        world,
        getpid().as_raw_nonzero().get().unsigned_abs(),
        world.mounts.root(),
        None,
    )?;
    let found = find(world, &view, spec.cwd.as_os_str().as_bytes(), true)?;
    if !found.is(libc::S_IFDIR) {
        return Err(Errno::NOTDIR);
    }
    let mut states = lock(&world.states);
    let cwd = states.directory(found.file.ok_or(Errno::BADF)?)?;
    let credentials = Credentials::of(&spec.user);
    let program = Arc::from(&b"/"[..]);
    Ok(states.number(State { credentials, umask: 0o022, cwd, root: 0, program }))
}

/// What there is before the program is.
fn world(spec: &RunSpec, root: &Path, mounts: Mounts, life: &OwnedFd) -> Result<World, Failure> {
    let tree = openat(rustix::fs::CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .step(|| format!("open {}", root.display()))?;
    let states = States::new(tree).step(|| "open the root".to_owned())?;
    Ok(World {
        // Replaced as soon as there is one.
        listener: fcntl_dupfd_cloexec(life, 3).step(|| "descriptor".to_owned())?,
        mounts,
        states: Mutex::new(states),
        known: Known::default(),
        has_roots: false.into(),
        specials: Mutex::default(),
        sockets: Mutex::default(),
        peers: Mutex::default(),
        tracers: Arc::default(),
        watchers: Mutex::default(),
        terminals: Mutex::default(),
        stand_ins: Mutex::default(),
        executing: Mutex::default(),
        ended: Mutex::default(),
        tracing: std::sync::RwLock::default(),
        started: false.into(),
        pid: getpid().as_raw_nonzero().get().unsigned_abs(),
        uid: getuid().as_raw(),
        network: spec.network,
        hostname: spec.hostname.clone(),
        chrooted: is_chrooted(spec),
    })
}

fn supervise(
    spec: &RunSpec,
    root: &Path,
    mounts: Mounts,
    life: &OwnedFd,
    descriptors: Rlimit,
) -> Result<Report, Failure> {
    let mut world = world(spec, root, mounts, life)?;
    know_specials(spec, &world);
    let first = match first_state(spec, &world) {
        Ok(first) => first,
        Err(errno) => return Ok(Report::NoCwd { errno: errno.raw_os_error() }),
    };
    let signals = child_signals().step(|| "signal descriptor".to_owned())?;
    empty_input().step(|| "standard input".to_owned())?;
    let (mut told, tell) = io::pipe().step(|| "pipe".to_owned())?;
    let pid = match fork_with_descriptors().step(|| "fork".to_owned())? {
        Forked::Child if is_chrooted(spec) => child::chrooted(spec, root, descriptors, tell),
        Forked::Child => child::emulated(spec, descriptors, tell),
        Forked::Parent(pid) => pid,
    };
    let number = match Message::read(&mut told) {
        Some(Message::Listener(number)) => number,
        Some(message) => return message.into_report(),
        None => return Ok(Report::InitKilled),
    };
    world.listener = adopt(number);
    let raw = pid.as_raw_nonzero().get().unsigned_abs();
    carry(&world, raw, first)?;
    let world = Arc::new(world);
    serve(&Arc::new(Answers(Arc::clone(&world)))).step(|| "threads that answer".to_owned())?;
    let status = watch(&world, raw, &signals, life)?;
    end_others();
    drop(tell);
    if let Some(message) = Message::read(&mut told) {
        return message.into_report();
    }
    let owners = owners(&world);
    Ok(if libc::WIFEXITED(status) {
        Report::Exited { code: libc::WEXITSTATUS(status), owners }
    } else {
        Report::Signaled { signal: libc::WTERMSIG(status), owners }
    })
}

/// Gives the program its first state.
fn carry(world: &World, pid: u32, first: u64) -> Result<(), Failure> {
    if world.chrooted {
        return Ok(());
    }
    let hard = limit_of(pid, CARRIER).map_or(u64::MAX, |(_, hard)| hard);
    set_limit_of(pid, CARRIER, first, hard).step(|| "credentials".to_owned())
}

/// The program shares the table of descriptors until it is executed.
fn empty_input() -> Result<(), Errno> {
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)
}

/// Lets go of the output, so that it ends with the last process of the run.
fn silence() {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    if let Ok(null) = null {
        let _both =
            rustix::stdio::dup2_stdout(&null).and_then(|()| rustix::stdio::dup2_stderr(&null));
    }
}

/// Waits for the end of the program, and reaps what it leaves meanwhile.
fn watch(world: &Arc<World>, pid: u32, signals: &OwnedFd, life: &OwnedFd) -> Result<i32, Failure> {
    let mut again = None;
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(life, PollFlags::IN)];
        match poll(&mut fds, again.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).step(|| "poll".to_owned()),
        }
        if !fds[1].revents().is_empty() {
            let step = "the builder, which is gone".to_owned();
            return Err(Failure { step, errno: libc::EPIPE });
        }
        let mut pending = [0; 128 * 8];
        if !fds[0].revents().is_empty() {
            // The signals say only that there is something to wait for.
            let _count = rustix::io::read(signals.as_fd(), &mut pending);
        }
        if let Some(status) = lock(&world.ended).remove(&pid) {
            return Ok(status);
        }
        // A thread that is traced would be taken from its tracer.
        again = Some(Timespec { tv_sec: 0, tv_nsec: 2_000_000 });
        if let Ok(_nobody) = world.tracing.try_write() {
            again = None;
            while let Ok(Some((ended, status))) = reap() {
                if ended == pid {
                    return Ok(status);
                }
            }
        }
    }
}

/// Ends all that is left, whoever its parent was: orphans become children of this process.
pub(crate) fn end_others() {
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    loop {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        for pid in entries.flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok()) {
            if parent_of(pid) == Some(own)
                && let Some(pid) = Pid::from_raw(pid.cast_signed())
            {
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
        // Never waits: another thread that traces may reap instead, and leave what was just orphaned.
        match reap() {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return,
        }
    }
}

/// Answers the calls of a run.
struct Answers(Arc<World>);

impl Server for Answers {
    fn listener(&self) -> BorrowedFd<'_> {
        self.0.listener.as_fd()
    }

    fn answer(&self, notification: &Notification) {
        one(&self.0, notification);
    }
}

fn one(world: &Arc<World>, notification: &Notification) {
    let (id, listener) = (notification.id, world.listener.as_fd());
    let call = Call {
        pid: notification.pid,
        number: i64::from(notification.number),
        arguments: notification.arguments,
    };
    if matches!(call.number, libc::SYS_execve | libc::SYS_execveat) {
        return execute(world, id, &call);
    }
    let answered = if world.chrooted {
        chrooted::answer(world, &call)
    } else if stat::reads_no_link(world, &call) {
        Err(Errno::INVAL)
    } else {
        answer(world, &call)
    };
    let _gone = match answered {
        Ok(Reply::GoOn) => notify::go_on(listener, id),
        Ok(Reply::Value(value)) => notify::answer(listener, id, Ok(value)),
        Ok(Reply::Descriptor { file, close_on_exec }) => {
            notify::answer_descriptor(listener, id, file.as_fd(), close_on_exec)
                .map(drop)
                .or_else(|errno| notify::answer(listener, id, Err(errno)))
        }
        Ok(Reply::Opening { open, close_on_exec }) => {
            let world = Arc::clone(world);
            beside(move || {
                let listener = world.listener.as_fd();
                match open() {
                    Ok(file) => {
                        notify::answer_descriptor(listener, id, file.as_fd(), close_on_exec)
                            .map(drop)
                    }
                    Err(errno) => notify::answer(listener, id, Err(errno)),
                }
            })
            .or_else(|errno| notify::answer(listener, id, Err(errno)))
        }
        Ok(Reply::Watcher { file, close_on_exec }) => {
            world.keep_watcher(call.pid, file, |file| {
                notify::answer_descriptor(listener, id, file.as_fd(), close_on_exec)
            })
        }
        .or_else(|errno| notify::answer(listener, id, Err(errno))),
        Ok(Reply::Waiting(act)) => {
            let world = Arc::clone(world);
            beside(move || notify::answer(world.listener.as_fd(), id, act()))
                .or_else(|errno| notify::answer(listener, id, Err(errno)))
        }
        Err(errno) => notify::answer(listener, id, Err(errno)),
    };
}

/// Does what may take a while in a thread of its own; an error where no more threads are to be had.
fn beside(act: impl FnOnce() -> Result<(), Errno> + Send + 'static) -> Result<(), Errno> {
    let started = std::thread::Builder::new().spawn(move || {
        // A caller that went away meanwhile needs no answer.
        let _gone = act();
    });
    started.map(drop).map_err(|_| Errno::AGAIN)
}

#[cfg(target_arch = "x86_64")]
fn execute(world: &Arc<World>, id: u64, call: &Call) {
    let listener = world.listener.as_fd();
    if world.executing().remove(&call.pid) {
        let _gone = notify::go_on(listener, id);
        return;
    }
    match Caller::new(world, call.pid).and_then(|caller| exec::plan(&caller, call)) {
        Ok(plan) => {
            let (tracing, pid) = (Arc::clone(world), call.pid);
            let started = world.tracers.start(move || {
                super::trace::execute(&tracing, id, pid, plan);
                if !tracing.started.swap(true, Ordering::SeqCst) {
                    silence();
                }
            });
            if let Err(errno) = started {
                let _gone = notify::answer(listener, id, Err(errno));
            }
        }
        Err(errno) => {
            let _gone = notify::answer(listener, id, Err(errno));
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn execute(world: &Arc<World>, id: u64, _call: &Call) {
    let _gone = notify::answer(world.listener.as_fd(), id, Err(Errno::NOSYS));
}

/// Notes the owners of symlinks and their like that lower layers have.
fn know_specials(spec: &RunSpec, world: &World) {
    for Owner { path, uid, gid } in &spec.special_owners {
        let limits = rustix::fs::ResolveFlags::IN_ROOT;
        let path = path.as_os_str().as_bytes();
        let file = look_up(world.mounts.root(), path, OFlags::NOFOLLOW, limits);
        if let Ok(path) = file.as_ref().map_err(|errno| *errno).and_then(found::own_path) {
            world.set_special(&path, (*uid, *gid));
        }
    }
}

/// The owners of what holds no attributes, by path, found in a walk over the tree.
fn owners(world: &World) -> Vec<Owner> {
    let mut found = Vec::new();
    if !lock(&world.specials).is_empty() {
        walk(world, world.mounts.root().as_fd(), Path::new("/"), &mut found);
    }
    found.sort_by(|one: &Owner, two| one.path.cmp(&two.path));
    found
}

fn walk(world: &World, folder: BorrowedFd<'_>, path: &Path, found: &mut Vec<Owner>) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = openat(folder, ".", flags, Mode::empty()) else { return };
    let Ok(entries) = Dir::read_from(&folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        if entry.file_type() == FileType::Directory {
            if let Ok(below) = openat(&folder, name, flags, Mode::empty()) {
                walk(world, below.as_fd(), &path, found);
            }
            continue;
        }
        if entry.file_type() == FileType::RegularFile {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = openat(&folder, name, flags, Mode::empty()) else { continue };
        let owner = found::own_path(&file).ok().and_then(|it| world.special(&it));
        if let Some((uid, gid)) = owner {
            found.push(Owner { path, uid, gid });
        }
    }
}
