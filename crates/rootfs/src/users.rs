//! Names of users and groups, by an image's own `/etc/passwd` and `/etc/group`.
//!
//! Two sets of rules, as in Docker: USER is looked up as `docker run --user` does it, `--chown` as
//! BuildKit's COPY does it.

/// The highest id that USER may name: <https://github.com/moby/sys/tree/main/user>.
const HIGHEST: u32 = i32::MAX as u32;

/// Who a process is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, in the order of the file.
    pub groups: Vec<u32>,
    /// Home directory: `/` for a user that passwd does not have, empty where passwd says so.
    pub home: String,
    /// Login name, where passwd has one.
    pub name: Option<String>,
}

/// A user or group cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that is not in passwd.
    #[error("unable to find user {name}: no matching entries in passwd file")]
    UnknownUser {
        /// As written.
        name: String,
    },
    /// A name that is not in group.
    #[error("unable to find group {name}: no matching entries in group file")]
    UnknownGroup {
        /// As written.
        name: String,
    },
    /// A number that is no id.
    #[error("{id} is out of range: uids and gids must be in range 0-2147483647")]
    OutOfRange {
        /// As written.
        id: String,
    },
}

/// Looks up what USER says: `user`, `uid`, `user:group` and so on; empty is root. `passwd` and
/// `group` are the files' contents, empty where the image has none.
///
/// A number need not be in passwd. Supplementary groups come from group, for a user that passwd
/// has, when the USER names no group.
pub fn lookup_user(passwd: &[u8], group: &[u8], spec: &str) -> Result<UserInfo, UserError> {
    // What follows a second colon is not looked at.
    let mut parts = spec.split(':');
    let (user, wanted) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    if let (Ok(uid), Ok(gid)) = (user.parse(), wanted.parse()) {
        let (home, name) = of_uid(passwd, uid);
        return Ok(UserInfo { uid, gid, groups: Vec::new(), home, name });
    }
    let number = number(if user.is_empty() { "0" } else { user });
    let found = users(passwd).find(|it| match number {
        Some(uid) => i64::from(it.uid) == uid,
        None => it.name == user.as_bytes(),
    });
    let (uid, mut gid) = match (&found, number) {
        (Some(found), _) => (found.uid, found.gid),
        (None, Some(uid)) => (in_range(uid, user)?, 0),
        (None, None) => return Err(UserError::UnknownUser { name: user.to_owned() }),
    };
    let mut groups = Vec::new();
    if !wanted.is_empty() {
        gid = find_group(group, wanted)?;
    } else if let Some(found) = &found {
        let has = |it: &Group<'_>| it.members.split(|it| *it == b',').any(|it| it == found.name);
        groups = self::groups(group).filter(has).map(|it| it.gid).collect();
    }
    let (home, name) = of_uid(passwd, uid);
    Ok(UserInfo { uid, gid, groups, home, name })
}

/// Whose the files of a COPY with `--chown` are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Names that the image lacks. As with BuildKit, root stands in for a user, and for a group the
    /// user's own.
    pub unknown: Vec<UserError>,
}

/// Looks up what `--chown` says, or USER for the directories of WORKDIR. A user given by number has
/// the same number as group unless another is given; one given by name has its group from passwd.
/// `root` is 0 without a look, nothing behind a colon is 0.
pub fn lookup_chown(passwd: &[u8], group: &[u8], spec: &str) -> Result<Owner, UserError> {
    let (user, wanted) = match spec.split_once(':') {
        Some((user, wanted)) => (user, Some(wanted)),
        None => (spec, None),
    };
    let mut unknown = Vec::new();
    let (uid, primary) = match (user, id(user)?) {
        ("" | "root", _) => (0, 0),
        (_, Some(uid)) => (uid, uid),
        (name, None) => {
            let found = users(passwd).find(|it| it.name == name.as_bytes());
            found.map(|it| (it.uid, it.gid)).unwrap_or_else(|| {
                unknown.push(UserError::UnknownUser { name: name.to_owned() });
                (0, 0)
            })
        }
    };
    let gid = match (wanted, id(wanted.unwrap_or_default())?) {
        (None, _) => primary,
        (Some("" | "root"), _) => 0,
        (_, Some(gid)) => gid,
        (Some(name), None) => {
            let found = groups(group).find(|it| it.name == name.as_bytes());
            found.map(|it| it.gid).unwrap_or_else(|| {
                unknown.push(UserError::UnknownGroup { name: name.to_owned() });
                primary
            })
        }
    };
    Ok(Owner { uid, gid, unknown })
}

/// What `--chown` says, if it needs no files to know.
pub fn numeric_owner(spec: &str) -> Option<(u32, u32)> {
    let (user, group) = spec.split_once(':').unwrap_or((spec, ""));
    let is_number = |it: &str| it.is_empty() || it == "root" || number(it).is_some();
    if !is_number(user) || !is_number(group) {
        return None;
    }
    lookup_chown(b"", b"", spec).ok().map(|it| (it.uid, it.gid))
}

/// HOME is looked up by number, also for a USER given by name: so does runc.
fn of_uid(passwd: &[u8], uid: u32) -> (String, Option<String>) {
    let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
    match users(passwd).find(|it| it.uid == uid) {
        Some(found) => (text(found.home), Some(text(found.name))),
        None => ("/".to_owned(), None),
    }
}

fn find_group(group: &[u8], wanted: &str) -> Result<u32, UserError> {
    let number = number(wanted);
    let found = groups(group).find(|it| match number {
        Some(gid) => i64::from(it.gid) == gid,
        None => it.name == wanted.as_bytes(),
    });
    match (found, number) {
        (Some(found), _) => Ok(found.gid),
        (None, Some(gid)) => in_range(gid, wanted),
        (None, None) => Err(UserError::UnknownGroup { name: wanted.to_owned() }),
    }
}

/// A number as Go reads it: a sign is allowed.
fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn id(text: &str) -> Result<Option<u32>, UserError> {
    let out_of_range = |_| UserError::OutOfRange { id: text.to_owned() };
    number(text).map(|it| u32::try_from(it).map_err(out_of_range)).transpose()
}

fn in_range(number: i64, text: &str) -> Result<u32, UserError> {
    match u32::try_from(number) {
        Ok(id) if id <= HIGHEST => Ok(id),
        _ => Err(UserError::OutOfRange { id: text.to_owned() }),
    }
}

struct User<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

fn users(passwd: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(passwd).map(|line| User {
        name: field(line, 0),
        uid: numeric_field(line, 2),
        gid: numeric_field(line, 3),
        home: field(line, 5),
    })
}

fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).map(|line| Group {
        name: field(line, 0),
        gid: numeric_field(line, 2),
        members: field(line, 3),
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|it| *it == b'\n').map(<[u8]>::trim_ascii).filter(|it| !it.is_empty())
}

fn field(line: &[u8], at: usize) -> &[u8] {
    line.split(|it| *it == b':').nth(at).unwrap_or_default()
}

/// What is no number is 0, as Docker reads it.
fn numeric_field(line: &[u8], at: usize) -> u32 {
    str::from_utf8(field(line, at)).ok().and_then(|it| it.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Owner, UserError, lookup_chown, lookup_user, numeric_owner};

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        daemon:x:1:1::/usr/sbin:/bin/false\n\
        app:x:1000:1001:App,,,:/home/app:/bin/sh\n\
        twin:x:1000:7::/home/twin:\n\
        homeless:x:12:12:::\n\
        short:x:13\n";
    const GROUP: &[u8] = b"root:x:0:root\nwheel:x:10:root,app\naudio:x:29:app\n\
        app:x:1001:\nmany:x:77:daemon,app,root\n";

    #[test]
    fn user_as_docker_run_reads_it() {
        type Case = (&'static str, (u32, u32), &'static [u32], &'static str);
        let cases: [Case; 15] = [
            ("", (0, 0), &[0, 10, 77], "/root"),
            ("root", (0, 0), &[0, 10, 77], "/root"),
            ("0", (0, 0), &[0, 10, 77], "/root"),
            ("app", (1000, 1001), &[10, 29, 77], "/home/app"),
            ("1000", (1000, 1001), &[10, 29, 77], "/home/app"),
            ("app:audio", (1000, 29), &[], "/home/app"),
            ("app:1234", (1000, 1234), &[], "/home/app"),
            ("1000:1000", (1000, 1000), &[], "/home/app"),
            ("4242", (4242, 0), &[], "/"),
            ("4242:wheel", (4242, 10), &[], "/"),
            ("4242:4243", (4242, 4243), &[], "/"),
            ("1:2:3", (1, 2), &[], "/usr/sbin"),
            ("homeless", (12, 12), &[], ""),
            ("short", (13, 0), &[], ""),
            ("twin", (1000, 7), &[], "/home/app"),
        ];
        for (spec, ids, groups, home) in cases {
            let user = lookup_user(PASSWD, GROUP, spec).unwrap();
            assert_eq!((user.uid, user.gid), ids, "{spec}");
            assert_eq!(user.groups, groups, "{spec}");
            assert_eq!(user.home, home, "{spec}");
        }
        assert_eq!(lookup_user(PASSWD, GROUP, "1000").unwrap().name.unwrap(), "app");
    }

    #[test]
    fn unknown_users_and_groups() {
        let error = |spec| lookup_user(PASSWD, GROUP, spec).unwrap_err().to_string();
        assert_eq!(error("x"), "unable to find user x: no matching entries in passwd file");
        assert_eq!(error("app:x"), "unable to find group x: no matching entries in group file");
        assert!(error("4294967296").contains("out of range"));
        assert!(error("-1").contains("out of range"));
        assert!(error("2147483648").contains("out of range"));
    }

    #[test]
    fn an_image_without_the_files() {
        let user = lookup_user(b"", b"", "").unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (0, 0, "/"));
        assert_eq!(lookup_user(b"", b"", "5").unwrap().uid, 5);
        assert!(lookup_user(b"", b"", "root").is_err());
    }

    #[test]
    fn chown_as_copy_reads_it() {
        let cases = [
            ("app", (1000, 1001)),
            ("app:audio", (1000, 29)),
            ("app:5", (1000, 5)),
            ("55", (55, 55)),
            ("1000", (1000, 1000)),
            ("55:66", (55, 66)),
            ("55:wheel", (55, 10)),
            (":wheel", (0, 10)),
            ("app:", (1000, 0)),
            ("root", (0, 0)),
            ("55:root", (55, 0)),
        ];
        for (spec, (uid, gid)) in cases {
            let owner = Owner { uid, gid, unknown: Vec::new() };
            assert_eq!(lookup_chown(PASSWD, GROUP, spec), Ok(owner), "{spec}");
        }
        let unknown = vec![UserError::UnknownUser { name: "x".into() }];
        assert_eq!(lookup_chown(PASSWD, GROUP, "x:5"), Ok(Owner { uid: 0, gid: 5, unknown }));
        let unknown = vec![UserError::UnknownGroup { name: "x".into() }];
        assert_eq!(
            lookup_chown(PASSWD, GROUP, "app:x"),
            Ok(Owner { uid: 1000, gid: 1001, unknown })
        );
    }

    #[test]
    fn numbers_need_no_files() {
        assert_eq!(numeric_owner("5"), Some((5, 5)));
        assert_eq!(numeric_owner("5:6"), Some((5, 6)));
        assert_eq!(numeric_owner("app"), None);
        assert_eq!(numeric_owner("5:app"), None);
        assert_eq!(numeric_owner("-5"), None);
    }
}
