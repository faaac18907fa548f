//! The facts of one file system object.

use crate::Difference;
use strake_layer::{ContentHash, Entry, EntryName, Kind};

/// What is known of an object: named facts, in the order in which they are shown.
pub(crate) type Facts = Vec<(&'static str, String)>;

/// The facts of an entry. A symbolic link has no mode of its own.
pub(crate) fn facts(entry: &Entry, content: Option<&ContentHash>, times: bool) -> Facts {
    let Entry { path: _, kind, mode, uid, gid, mtime, xattrs } = entry;
    let mut facts = Facts::new();
    let mut add = |name: &'static str, value: String| facts.push((name, value));
    add("type", kind_name(kind).to_owned());
    if !matches!(kind, Kind::Symlink { .. } | Kind::Hardlink { .. } | Kind::Whiteout) {
        add("mode", format!("{mode:04o}"));
    }
    if !matches!(kind, Kind::Hardlink { .. } | Kind::Whiteout) {
        add("owner", format!("{uid}:{gid}"));
    }
    match kind {
        Kind::File { size } => add("size", size.to_string()),
        Kind::Symlink { target } | Kind::Hardlink { target } => {
            add("target", EntryName(target.clone()).to_string());
        }
        Kind::Character { major, minor } | Kind::Block { major, minor } => {
            add("device", format!("{major}:{minor}"));
        }
        Kind::Directory { opaque: true } => add("opaque", "yes".to_owned()),
        Kind::Directory { opaque: false } | Kind::Fifo | Kind::Whiteout => {}
    }
    if let Some(ContentHash(hash)) = content {
        let hash: String = hash[..8].iter().map(|it| format!("{it:02x}")).collect();
        add("content", hash);
    }
    if times && !matches!(kind, Kind::Hardlink { .. } | Kind::Whiteout) {
        add("mtime", mtime.to_string());
    }
    for (name, value) in xattrs {
        let value = value.escape_ascii();
        add("xattr", format!("{}={value}", EntryName(name.clone())));
    }
    facts
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } => "file",
        Kind::Directory { .. } => "directory",
        Kind::Symlink { .. } => "symlink",
        Kind::Hardlink { .. } => "hard link",
        Kind::Character { .. } => "character device",
        Kind::Block { .. } => "block device",
        Kind::Fifo => "fifo",
        Kind::Whiteout => "deletion",
    }
}

/// What differs of an object that either image may lack.
pub(crate) fn compare(at: &str, left: Option<&Facts>, right: Option<&Facts>) -> Vec<Difference> {
    let found = |fact, left, right| Difference { at: at.to_owned(), fact, left, right };
    let (Some(left), Some(right)) = (left, right) else {
        return vec![found("", left.map(summary), right.map(summary))];
    };
    let mut names: Vec<&'static str> = left.iter().chain(right).map(|it| it.0).collect();
    names.sort_unstable();
    names.dedup();
    let values = |facts: &Facts, name: &str| -> Vec<String> {
        facts.iter().filter(|it| it.0 == name).map(|it| it.1.clone()).collect()
    };
    let mut differences = Vec::new();
    for name in names {
        let (left, right) = (values(left, name), values(right, name));
        if left != right {
            let shown = |it: Vec<String>| {
                Some(if it.is_empty() { "nothing".to_owned() } else { it.join(" ") })
            };
            differences.push(found(name, shown(left), shown(right)));
        }
    }
    differences
}

fn summary(facts: &Facts) -> String {
    facts
        .iter()
        .map(|(name, value)| match *name {
            "type" | "mode" | "owner" => value.clone(),
            name => format!("{name} {value}"),
        })
        .collect::<Vec<_>>()
        .join(" ")
}
