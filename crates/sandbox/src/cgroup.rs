//! Control groups: by which the memory and the processors of a run are limited. See cgroups(7).
//!
//! A run gets a group of its own below that of the builder, with the controllers that its limits need.
//! In the second version a group that hands controllers on has no processes itself; there the processes
//! of this build, and no others, move to a group beside the runs' first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, getpid};

use crate::emulated::parent_of;
use crate::spec::Limits;
use crate::wire::{Failure, Step};

/// What the kernel says of groups: of all mounts, and of this process's own.
struct Facts {
    mountinfo: String,
    own: String,
}

impl Facts {
    fn read() -> io::Result<Self> {
        let text = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name));
        Ok(Self { mountinfo: text("mountinfo")?, own: text("cgroup")? })
    }

    /// The folder of this process's group under a controller of the first version.
    fn first(&self, controller: &str) -> Option<PathBuf> {
        let named = |list: &str| list.split(',').any(|it| it == controller);
        let own = self.own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            named(fields.next()?).then(|| fields.next())?
        })?;
        self.folder(own, |kind, options| kind == "cgroup" && named(options))
    }

    /// The folder of this process's group in the second version.
    fn second(&self) -> Option<PathBuf> {
        let own = self.own.lines().find_map(|line| line.strip_prefix("0::"))?;
        self.folder(own, |kind, _| kind == "cgroup2")
    }

    /// Where a group is, in the mount of its hierarchy. See proc_pid_mountinfo(5).
    fn folder(&self, own: &str, is_it: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
        self.mountinfo.lines().find_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mut place = place.split(' ').skip(3);
            let (top, mounted) = (place.next()?, place.next()?);
            let mut kind = kind.split(' ');
            if !is_it(kind.next()?, kind.nth(1)?) {
                return None;
            }
            // A container may be shown its own part of the hierarchy only.
            let rest = Path::new(own).strip_prefix(top).unwrap_or(Path::new(""));
            Some(Path::new(mounted).join(rest))
        })
    }
}

/// A file of a group, and what is to be written to it.
struct Setting {
    controller: &'static str,
    /// Its names in both versions.
    files: [&'static str; 2],
    values: [String; 2],
    /// Whether it may be missing, as it is where swap is not accounted for.
    optional: bool,
}

fn settings(limits: &Limits) -> Vec<Setting> {
    let mut all = Vec::new();
    let mut add = |controller, files, values, optional| {
        all.push(Setting { controller, files, values, optional });
    };
    let both = |text: String| [text.clone(), text];
    if let Some(memory) = limits.memory {
        add("memory", ["memory.limit_in_bytes", "memory.max"], both(memory.to_string()), false);
        // As in Docker twice the memory, swap included, if nothing else is said.
        let total = limits.memory_swap.unwrap_or(memory.saturating_mul(2));
        let swap = match total {
            u64::MAX => ["-1".to_owned(), "max".to_owned()],
            total => [total.to_string(), total.saturating_sub(memory).to_string()],
        };
        let files = ["memory.memsw.limit_in_bytes", "memory.swap.max"];
        add("memory", files, swap, limits.memory_swap.is_none());
    }
    let period = limits.cpu_period.unwrap_or(100_000);
    if let Some(quota) = limits.cpu_quota {
        let files = ["cpu.cfs_quota_us", "cpu.max"];
        add("cpu", files, [quota.to_string(), format!("{quota} {period}")], false);
    }
    if limits.cpu_period.is_some() {
        let whole = limits.cpu_quota.map_or("max".to_owned(), |it| it.to_string());
        let files = ["cpu.cfs_period_us", "cpu.max"];
        add("cpu", files, [period.to_string(), format!("{whole} {period}")], false);
    }
    if let Some(shares) = limits.cpu_shares {
        // 2 to 262144 become 1 to 10000, as in runc.
        let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
        let files = ["cpu.shares", "cpu.weight"];
        add("cpu", files, [shares.to_string(), weight.to_string()], false);
    }
    let (cpus, mems) = (&limits.cpuset_cpus, &limits.cpuset_mems);
    for (asked, file) in [(cpus, "cpuset.cpus"), (mems, "cpuset.mems")] {
        if let Some(list) = asked {
            add("cpuset", [file; 2], both(list.clone()), false);
        }
    }
    all
}

/// The groups of one run, until they are dropped.
pub(crate) struct Group {
    folders: Vec<PathBuf>,
}

impl Group {
    /// Makes them; `None` where nothing is limited.
    pub(crate) fn make(limits: &Limits) -> Result<Option<Self>, Failure> {
        let settings = settings(limits);
        if settings.is_empty() {
            return Ok(None);
        }
        let facts = Facts::read().step(|| "cgroup".to_owned())?;
        Self::below(&facts, &settings).map(Some)
    }

    fn below(facts: &Facts, settings: &[Setting]) -> Result<Self, Failure> {
        let mut group = Self { folders: Vec::new() };
        let name = format!("strake-run-{}", getpid());
        let second = facts.second();
        for setting in settings {
            let controller = setting.controller;
            let step = || format!("cgroup: limit by the controller {controller}");
            let (parent, version) = match facts.first(controller) {
                Some(folder) => (folder, 0),
                None => (second.clone().ok_or(Errno::NOTSUP).step(step)?, 1),
            };
            let folder = parent.join(&name);
            if version == 1 {
                hand_on(&parent, controller).step(step)?;
            }
            if !group.folders.contains(&folder) {
                // One of that number was perhaps killed with all that it had started.
                let _left_over = fs::remove_dir(&folder);
                fs::create_dir(&folder).step(|| format!("cgroup: create {}", folder.display()))?;
                group.folders.push(folder.clone());
                if version == 0 && controller == "cpuset" {
                    inherit(&parent, &folder).step(step)?;
                }
            }
            let (file, value) = (setting.files[version], &setting.values[version]);
            let path = folder.join(file);
            match fs::write(&path, value) {
                Err(_) if setting.optional => {}
                done => done.step(|| format!("cgroup: write {value} to {}", path.display()))?,
            }
        }
        Ok(group)
    }

    /// Makes a process, and what it starts from now on, one of the run's.
    pub(crate) fn take(&self, pid: Pid) -> Result<(), Failure> {
        for folder in &self.folders {
            let path = folder.join("cgroup.procs");
            fs::write(&path, pid.to_string())
                .step(|| format!("cgroup: write to {}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Group {
    /// The kernel may need a moment for the last process.
    fn drop(&mut self) {
        for folder in &self.folders {
            for _ in 0..200 {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// A new group under cpuset takes no process before it has processors and memory nodes.
fn inherit(parent: &Path, folder: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        fs::write(folder.join(file), fs::read_to_string(parent.join(file))?)?;
    }
    Ok(())
}

/// Has the groups below a group of the second version have a controller.
fn hand_on(group: &Path, controller: &str) -> io::Result<()> {
    let control = group.join("cgroup.subtree_control");
    let has = |file: &Path| -> io::Result<bool> {
        Ok(fs::read_to_string(file)?.split_ascii_whitespace().any(|it| it == controller))
    };
    if has(&control)? {
        return Ok(());
    }
    if !has(&group.join("cgroup.controllers"))? {
        return Err(Errno::NOTSUP.into());
    }
    let ask = || fs::write(&control, format!("+{controller}"));
    match ask() {
        // Processes are in the way.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            make_way(group)?;
            ask()
        }
        done => done,
    }
}

/// Moves the processes of this build to a group of their own.
fn make_way(group: &Path) -> io::Result<()> {
    // The builder started the process that starts sandboxes, which started this one.
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    let builder = parent_of(own).and_then(parent_of).ok_or(Errno::SRCH)?;
    let leaf = group.join("strake");
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for pid in fs::read_to_string(group.join("cgroup.procs"))?.lines() {
        let mut ancestor = pid.parse().ok();
        while ancestor.is_some_and(|it| it != builder && it > 1) {
            ancestor = ancestor.and_then(parent_of);
        }
        if ancestor == Some(builder) {
            fs::write(leaf.join("cgroup.procs"), pid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(mountinfo: &str, own: &str) -> Facts {
        Facts { mountinfo: mountinfo.to_owned(), own: own.to_owned() }
    }

    #[test]
    fn the_own_group_is_found_in_either_version() {
        let systemd = facts(
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n",
        );
        let scope =
            "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope";
        assert_eq!(systemd.second(), Some(scope.into()));
        assert_eq!(systemd.first("memory"), None);
        let container = facts(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 /docker/ab /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
            "4:memory:/a/b\n1:cpu,cpuacct:/docker/ab\n0::/\n",
        );
        assert_eq!(container.first("memory"), Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(container.first("cpu"), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(container.first("cpuset"), None);
        assert_eq!(container.second(), Some("/sys/fs/cgroup/unified".into()));
    }

    fn all() -> Limits {
        Limits {
            memory: Some(64 << 20),
            memory_swap: None,
            cpu_quota: Some(50_000),
            cpu_period: None,
            cpu_shares: Some(1024),
            cpuset_cpus: Some("0".to_owned()),
            cpuset_mems: None,
        }
    }

    #[test]
    fn limits_are_written_as_each_version_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().display();
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        for file in ["cgroup.controllers", "cgroup.subtree_control"] {
            fs::write(own.join(file), "cpuset cpu memory\n").unwrap();
        }
        let second = facts(&format!("30 23 0:26 / {top} rw - cgroup2 cgroup2 rw\n"), "0::/own\n");
        let group = Group::below(&second, &settings(&all())).unwrap();
        let [made] = group.folders.as_slice() else { panic!("one folder") };
        let read = |name: &str| fs::read_to_string(made.join(name)).unwrap();
        assert_eq!(made.parent(), Some(own.as_path()));
        assert_eq!(
            (read("memory.max"), read("memory.swap.max")),
            ("67108864".into(), "67108864".into())
        );
        assert_eq!((read("cpu.max"), read("cpu.weight")), ("50000 100000".into(), "39".into()));
        assert_eq!(read("cpuset.cpus"), "0");
        group.take(getpid()).unwrap();
        assert_eq!(read("cgroup.procs"), getpid().to_string());

        let unlimited = Limits { memory_swap: Some(u64::MAX), cpu_period: Some(20_000), ..all() };
        let values: Vec<_> = settings(&unlimited).into_iter().map(|it| it.values).collect();
        let pairs =
            [["67108864"; 2], ["-1", "max"], ["50000", "50000 20000"], ["20000", "50000 20000"]];
        assert_eq!(values[..4], pairs.map(|it| it.map(str::to_owned)));
    }

    #[test]
    fn what_is_not_delegated_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["cgroup.controllers", "cgroup.subtree_control"] {
            fs::write(folder.path().join(file), "pids\n").unwrap();
        }
        let top = folder.path().display();
        let second = facts(&format!("30 23 0:26 / {top} rw - cgroup2 cgroup2 rw\n"), "0::/\n");
        let failure = Group::below(&second, &settings(&all())).map(|_| ()).unwrap_err();
        assert_eq!(failure.step, "cgroup: limit by the controller memory");
        let none = Group::below(&facts("", ""), &settings(&all())).map(|_| ()).unwrap_err();
        assert_eq!(none.step, "cgroup: limit by the controller memory");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
