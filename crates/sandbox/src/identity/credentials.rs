//! Virtual credentials and the kernel's rules for changing them. See credentials(7).

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::spec::Identity;

/// "Leave as it is" in the arguments of the calls.
const KEEP: u32 = u32::MAX;

/// Real, effective, saved and file system id, of users or of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ids {
    pub(crate) real: u32,
    pub(crate) effective: u32,
    pub(crate) saved: u32,
    pub(crate) file_system: u32,
}

impl Ids {
    const fn all(id: u32) -> Self {
        Self { real: id, effective: id, saved: id, file_system: id }
    }

    fn has_root(self) -> bool {
        [self.real, self.effective, self.saved].contains(&0)
    }

    /// setuid(2), setgid(2).
    pub(crate) fn set(self, id: u32, privileged: bool) -> Result<Self, Errno> {
        if privileged {
            Ok(Self::all(id))
        } else if id == self.real || id == self.saved {
            Ok(Self { effective: id, file_system: id, ..self })
        } else {
            Err(Errno::PERM)
        }
    }

    /// setreuid(2), setregid(2).
    pub(crate) fn set_two(
        self,
        real: u32,
        effective: u32,
        privileged: bool,
    ) -> Result<Self, Errno> {
        let real_allowed = [KEEP, self.real, self.effective].contains(&real);
        let effective_allowed = [KEEP, self.real, self.effective, self.saved].contains(&effective);
        if !(privileged || real_allowed && effective_allowed) {
            return Err(Errno::PERM);
        }
        let mut new = self;
        new.real = chosen(real, self.real);
        new.effective = chosen(effective, self.effective);
        if real != KEEP || (effective != KEEP && effective != self.real) {
            new.saved = new.effective;
        }
        new.file_system = new.effective;
        Ok(new)
    }

    /// setresuid(2), setresgid(2).
    pub(crate) fn set_three(self, ids: [u32; 3], privileged: bool) -> Result<Self, Errno> {
        let known = [KEEP, self.real, self.effective, self.saved];
        if !privileged && !ids.iter().all(|id| known.contains(id)) {
            return Err(Errno::PERM);
        }
        let [real, effective, saved] = ids;
        let effective = chosen(effective, self.effective);
        Ok(Self {
            real: chosen(real, self.real),
            effective,
            saved: chosen(saved, self.saved),
            file_system: effective,
        })
    }

    /// setfsuid(2), setfsgid(2), which never fail.
    pub(crate) fn set_file_system(self, id: u32, privileged: bool) -> Self {
        let known = [self.real, self.effective, self.saved, self.file_system].contains(&id);
        if id != KEEP && (privileged || known) { Self { file_system: id, ..self } } else { self }
    }

    /// What execve(2) makes of them for a file that sets this id, or for one that sets none.
    fn executed(self, sets: Option<u32>) -> Self {
        let effective = sets.unwrap_or(self.effective);
        Self { real: self.real, effective, saved: effective, file_system: effective }
    }
}

fn chosen(new: u32, old: u32) -> u32 {
    if new == KEEP { old } else { new }
}

/// Everything that says who a process is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Credentials {
    pub(crate) user: Ids,
    pub(crate) group: Ids,
    pub(crate) groups: Vec<u32>,
    /// Whether capabilities are to outlast the user ids 0, see prctl(2), PR_SET_KEEPCAPS.
    pub(crate) keeps: bool,
    /// Whether they did.
    pub(crate) kept: bool,
}

impl Credentials {
    /// Root.
    pub(crate) const ROOT: Self = Self {
        user: Ids::all(0),
        group: Ids::all(0),
        groups: Vec::new(),
        keeps: false,
        kept: false,
    };

    /// Those of a user who just logged in.
    pub(crate) fn of(user: &Identity) -> Self {
        let Identity { uid, gid, groups } = user;
        let (user, group, mut groups) = (Ids::all(*uid), Ids::all(*gid), groups.clone());
        // As the kernel keeps them.
        groups.sort_unstable();
        Self { user, group, groups, ..Self::ROOT }
    }

    /// Changes the user ids, and with the last 0 gives capabilities up, unless they are kept.
    pub(crate) fn set_user(&mut self, user: Ids) {
        let had_root = self.user.has_root();
        self.user = user;
        if had_root && !user.has_root() {
            self.kept = self.keeps;
        }
    }

    /// What execve(2) makes of them for a file that sets ids, or for one that sets none.
    pub(crate) fn executed(&self, user: Option<u32>, group: Option<u32>) -> Self {
        Self {
            user: self.user.executed(user),
            group: self.group.executed(group),
            groups: self.groups.clone(),
            keeps: false,
            kept: false,
        }
    }

    /// Returns whether ids may be changed at will.
    pub(crate) fn is_privileged(&self) -> bool {
        self.user.effective == 0 || self.kept
    }

    /// Returns whether files are touched as root, in files' groups too.
    pub(crate) fn makes_root_files(&self) -> bool {
        self.user.file_system == 0 && self.group.file_system == 0
    }

    /// Returns whether a group is one of the process's own.
    pub(crate) fn is_member(&self, gid: u32) -> bool {
        self.group.file_system == gid || self.groups.contains(&gid)
    }

    /// Returns whether a file of this owner and mode may be used in a way: 4 read, 2 write, 1 search.
    pub(crate) fn permits(&self, (uid, gid): (u32, u32), mode: u32, way: u32) -> bool {
        let granted = if self.user.file_system == 0 {
            7
        } else if self.user.file_system == uid {
            mode >> 6
        } else if self.is_member(gid) {
            mode >> 3
        } else {
            mode
        };
        granted & way == way
    }
}

/// The number of credentials in the table, which is what a process carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CredentialsId(pub(crate) u64);

/// All credentials that any process has had.
pub(crate) struct Table {
    all: Vec<Credentials>,
    numbers: BTreeMap<Credentials, CredentialsId>,
}

impl Table {
    /// Starts with root's, under number 0.
    pub(crate) fn new() -> Self {
        let mut table = Self { all: Vec::new(), numbers: BTreeMap::new() };
        table.number(Credentials::ROOT);
        table
    }

    pub(crate) fn number(&mut self, credentials: Credentials) -> CredentialsId {
        if let Some(number) = self.numbers.get(&credentials) {
            return *number;
        }
        let number = CredentialsId(self.all.len() as u64);
        self.all.push(credentials.clone());
        self.numbers.insert(credentials, number);
        number
    }

    /// Returns the credentials under a number; an unknown number is root's, the kernel's own view.
    pub(crate) fn get(&self, number: CredentialsId) -> Credentials {
        let index = usize::try_from(number.0).ok();
        index.and_then(|index| self.all.get(index)).unwrap_or(&Credentials::ROOT).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_gives_itself_up_for_good() {
        let ids = Ids::all(0).set(1000, true).unwrap();
        assert_eq!(ids, Ids::all(1000));
        assert_eq!(ids.set(0, false), Err(Errno::PERM));
        assert_eq!(ids.set_three([0, 0, 0], false), Err(Errno::PERM));
    }

    #[test]
    fn a_saved_id_is_a_way_back() {
        let away = Ids::all(0).set_three([KEEP, 42, KEEP], true).unwrap();
        assert_eq!((away.real, away.effective, away.saved), (0, 42, 0));
        assert_eq!(away.file_system, 42);
        assert_eq!(away.set_three([KEEP, 0, KEEP], false).unwrap(), Ids::all(0));
    }

    #[test]
    fn two_ids_move_the_saved_one_along() {
        let ids = Ids::all(0).set_two(1000, 1000, true).unwrap();
        assert_eq!(ids, Ids::all(1000));
        let swapped = Ids { real: 1, effective: 2, saved: 2, file_system: 2 };
        let swapped = swapped.set_two(2, 1, false).unwrap();
        assert_eq!((swapped.real, swapped.effective, swapped.saved), (2, 1, 1));
    }

    #[test]
    fn a_setuid_program_keeps_the_real_id() {
        let ids = Ids::all(1000).executed(Some(0));
        assert_eq!((ids.real, ids.effective, ids.saved), (1000, 0, 0));
        assert_eq!(Ids::all(1000).executed(None), Ids::all(1000));
    }

    #[test]
    fn kept_capabilities_last_until_the_next_program() {
        let mut kept = Credentials { keeps: true, ..Credentials::ROOT };
        kept.set_user(Ids::all(6));
        assert!(kept.is_privileged());
        assert!(!kept.executed(None, None).is_privileged());
        let mut dropped = Credentials::ROOT;
        dropped.set_user(Ids::all(6));
        assert!(!dropped.is_privileged());
    }

    #[test]
    fn modes_are_read_for_owner_group_and_others() {
        let user = Identity { uid: 1000, gid: 100, groups: vec![44] };
        let user = Credentials::of(&user);
        assert!(user.permits((1000, 0), 0o200, 2));
        assert!(!user.permits((1000, 0), 0o077, 2));
        assert!(user.permits((0, 44), 0o020, 2));
        assert!(!user.permits((0, 0), 0o775, 2));
        assert!(Credentials::ROOT.permits((1000, 1000), 0, 7));
    }
}
