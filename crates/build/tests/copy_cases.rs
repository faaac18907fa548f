//! What COPY and ADD make of files: one case a file in `testdata/copy`.
//!
//! A case is an instruction and sections of indented lines. `context` or `stage` is what is copied
//! from, `ignore` the text of .dockerignore, `below` the root that is copied into. Then follow
//! `expect`, the layer, or `error` and `hint`. A line of a tree is
//! `KIND MODE [UID:GID] PATH [=CONTENT | -> TARGET] [@MTIME]` with the kinds of `ls -l` and `h` for
//! hard links. The copy happens at the time 9000, shown as `@now`; other times are 1000.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use strake_build::copy::{CopyError, SourceTree, changes, select};
use strake_context::Context;
use strake_layer::{Body, Change, ContentHash, Entry, Index, IndexEntry, Kind, Tree};
use strake_oci::Digest;
use strake_plan::{CopyOp, CopySource, HeredocFile, Source, StageId, Unpack};

const NOW: i64 = 9000;
const THEN: i64 = 1000;

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/copy");
    let mut failed = String::new();
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() > 20, "the cases are there");
    for name in names {
        let case = Case::read(&fs::read_to_string(&name).unwrap());
        let got = case.run();
        if got != case.expected {
            let name = name.file_name().unwrap().display().to_string();
            write!(failed, "\n{name}\nexpected:\n{}\ngot:\n{got}\n", case.expected).unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

struct Case {
    op: CopyOp,
    owner: Option<(u32, u32)>,
    sections: BTreeMap<String, Vec<String>>,
    expected: String,
}

impl Case {
    fn read(text: &str) -> Case {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let instruction = lines.next().unwrap();
        let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut name = String::new();
        for line in lines {
            match line.strip_prefix("  ") {
                Some(line) => sections.get_mut(&name).unwrap().push(line.to_owned()),
                None => {
                    name = line.strip_suffix(':').unwrap().to_owned();
                    sections.insert(name.clone(), Vec::new());
                }
            }
        }
        let mut expected = String::new();
        for (section, prefix) in [("expect", ""), ("error", "error: "), ("hint", "hint: ")] {
            for line in sections.get(section).into_iter().flatten() {
                writeln!(expected, "{prefix}{line}").unwrap();
            }
        }
        let (op, owner) = instruction_of(instruction, sections.contains_key("stage"), &sections);
        Case { op, owner, sections, expected }
    }

    fn section(&self, name: &str) -> &[String] {
        self.sections.get(name).map_or(&[], Vec::as_slice)
    }

    fn run(&self) -> String {
        let scratch = tempfile::tempdir().unwrap();
        match self.copy(scratch.path()) {
            Ok(changes) => changes.iter().map(line_of).collect(),
            Err(error) => {
                let mut text = format!("error: {error}\n");
                if let Some(hint) = error.hint() {
                    writeln!(text, "hint: {hint}").unwrap();
                }
                text
            }
        }
    }

    fn copy(&self, scratch: &Path) -> Result<Vec<Change>, CopyError> {
        let below = tree(self.section("below"), None);
        let root = scratch.join("context");
        fs::create_dir(&root).unwrap();
        let ignore = self.section("ignore").join("\n");
        if !self.sections.contains_key("stage") {
            write_files(&root, self.section("context"));
            let context = Context::open(&root, Some(&ignore)).unwrap();
            let selection = select(&self.op, &SourceTree::Context(&context), &[])?;
            assert!(!selection.reads_layers());
            let placed = changes(&self.op, selection, &below, self.owner, NOW, scratch, &[]);
            return placed.map(|it| it.changes);
        }
        let stage = tree(self.section("stage"), Some(&root));
        let selection = select(&self.op, &SourceTree::Stage(&stage), &[])?;
        let placed = changes(&self.op, selection, &below, self.owner, NOW, scratch, &[root]);
        placed.map(|it| it.changes)
    }
}

fn instruction_of(
    line: &str,
    from_stage: bool,
    sections: &BTreeMap<String, Vec<String>>,
) -> (CopyOp, Option<(u32, u32)>) {
    let mut words: Vec<&str> = line.split(' ').collect();
    let unpack = if words.remove(0) == "ADD" { Unpack::Local } else { Unpack::Never };
    let dest = words.pop().unwrap();
    let mut op = CopyOp {
        from: if from_stage { Source::Stage(StageId(0)) } else { Source::Context },
        sources: Vec::new(),
        dest: dest.to_owned(),
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        excludes: Vec::new(),
        unpack,
    };
    let mut owner = None;
    for word in words {
        let (flag, value) = word.split_once('=').unwrap_or((word, ""));
        match flag {
            "--chown" => {
                let (user, group) = value.split_once(':').unwrap();
                owner = Some((user.parse().unwrap(), group.parse().unwrap()));
                op.chown = Some(value.to_owned());
            }
            "--chmod" => op.chmod = Some(word["--chmod=".len()..].to_owned()),
            "--exclude" => op.excludes.push(value.to_owned()),
            "--parents" => op.parents = true,
            _ => op.sources.push(match word.strip_prefix("<<") {
                Some(name) => CopySource::Heredoc(HeredocFile {
                    name: name.to_owned(),
                    content: sections[name].iter().map(|line| format!("{line}\n")).collect(),
                }),
                None => CopySource::Path(word.to_owned()),
            }),
        }
    }
    (op, owner)
}

/// A line of a tree, taken apart.
struct Line {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    path: String,
    content: String,
    target: String,
    mtime: i64,
}

fn parse(line: &str) -> Line {
    let mut words: Vec<&str> = line.split(' ').collect();
    let time = words.last().and_then(|word| word.strip_prefix('@')).map(str::to_owned);
    if time.is_some() {
        words.pop();
    }
    let mut words = words.into_iter().peekable();
    let kind = words.next().unwrap().chars().next().unwrap();
    let mode = words.next_if(|word| word.chars().all(|digit| digit.is_ascii_digit()));
    let owner = words.next_if(|word| word.contains(':')).and_then(|word| word.split_once(':'));
    let path = words.next().unwrap().to_owned();
    let rest = words.collect::<Vec<_>>().join(" ");
    Line {
        kind,
        mode: mode.map_or(0o777, |mode| u32::from_str_radix(mode, 8).unwrap()),
        owner: owner.map_or((0, 0), |(a, b)| (a.parse().unwrap(), b.parse().unwrap())),
        content: rest.strip_prefix('=').unwrap_or(&path).to_owned(),
        target: rest.strip_prefix("-> ").unwrap_or_default().to_owned(),
        path,
        mtime: time.map_or(THEN, |time| time.parse().unwrap()),
    }
}

fn write_files(root: &Path, lines: &[String]) {
    let lines: Vec<Line> = lines.iter().map(|line| parse(line)).collect();
    for line in &lines {
        let path = root.join(&line.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match line.kind {
            'd' => fs::create_dir_all(&path).unwrap(),
            'f' => fs::write(&path, &line.content).unwrap(),
            'l' => symlink(&line.target, &path).unwrap(),
            'h' => fs::hard_link(root.join(&line.target), &path).unwrap(),
            't' => fs::write(&path, tar(&line.content)).unwrap(),
            kind => panic!("{kind}"),
        }
    }
    for line in lines.iter().rev().filter(|line| matches!(line.kind, 'd' | 'f' | 't')) {
        let path = root.join(&line.path);
        let file = fs::File::open(&path).unwrap();
        file.set_permissions(fs::Permissions::from_mode(line.mode)).unwrap();
        let seconds = Duration::from_secs(u64::try_from(line.mtime).unwrap());
        file.set_modified(SystemTime::UNIX_EPOCH + seconds).unwrap();
    }
}

/// An archive of `PATH` (a file), `PATH/`, `PATH>TARGET` (a link), `PATH~FIRST` (a hard link), `|PATH` (a
/// pipe) or `%PATH` (a device), of owner 4:5.
fn tar(entries: &str) -> Vec<u8> {
    let entry = |path: &str, kind: Kind, mode: u32| Change {
        body: if matches!(kind, Kind::File { .. }) {
            Body::Bytes(Arc::from(path.as_bytes()))
        } else {
            Body::Empty
        },
        entry: Entry {
            path: path.as_bytes().to_vec(),
            kind,
            mode,
            uid: 4,
            gid: 5,
            mtime: 500,
            xattrs: BTreeMap::new(),
        },
    };
    let changes: Vec<Change> = entries
        .split(',')
        .map(|item| {
            if let Some(path) = item.strip_suffix('/') {
                entry(path, Kind::Directory { opaque: false }, 0o750)
            } else if let Some((path, target)) = item.split_once('>') {
                entry(path, Kind::Symlink { target: target.into() }, 0o640)
            } else if let Some((path, target)) = item.split_once('~') {
                entry(path, Kind::Hardlink { target: target.into() }, 0o640)
            } else if let Some(path) = item.strip_prefix('|') {
                entry(path, Kind::Fifo, 0o640)
            } else if let Some(path) = item.strip_prefix('%') {
                entry(path, Kind::Character { major: 1, minor: 3 }, 0o640)
            } else {
                entry(item, Kind::File { size: item.len() as u64 }, 0o640)
            }
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let options =
        strake_layer::PackOptions { compression: strake_layer::Compression::Gzip(1), threads: 1 };
    fs::read(strake_layer::pack(changes.to_vec(), &options, dir.path()).unwrap().file).unwrap()
}

/// A stack of one layer; its regular files are written below `folder`.
fn tree(lines: &[String], folder: Option<&Path>) -> Tree {
    let mut index = Index::default();
    for line in lines.iter().map(|line| parse(line)) {
        let content = line.content.as_bytes();
        let kind = match line.kind {
            'd' => Kind::Directory { opaque: false },
            'f' => Kind::File { size: content.len() as u64 },
            'l' => Kind::Symlink { target: line.target.clone().into() },
            'h' => Kind::Hardlink { target: line.target.clone().into() },
            'p' => Kind::Fifo,
            'c' => Kind::Character { major: 1, minor: 3 },
            kind => panic!("{kind}"),
        };
        if let Some(folder) = folder.filter(|_| line.kind == 'f') {
            let path = folder.join(&line.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        } else if let Some(folder) = folder.filter(|_| line.kind == 'h') {
            let path = folder.join(&line.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::hard_link(folder.join(&line.target), path).unwrap();
        }
        let hash = ContentHash(*Digest::of(content).as_bytes());
        index.entries.push(IndexEntry {
            content: (line.kind == 'f').then_some(hash),
            entry: Entry {
                path: line.path.into_bytes(),
                kind,
                mode: line.mode,
                uid: line.owner.0,
                gid: line.owner.1,
                mtime: line.mtime,
                xattrs: BTreeMap::new(),
            },
        });
    }
    Tree::stack(&[Arc::new(index)])
}

fn line_of(change: &Change) -> String {
    let Entry { path, kind, mode, uid, gid, mtime, xattrs: _ } = &change.entry;
    let path = String::from_utf8_lossy(path);
    let content = || match &change.body {
        Body::Empty => String::new(),
        Body::Path(file) | Body::Known(file, _) => {
            fs::read_to_string(file.path(&change.entry)).unwrap()
        }
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).replace('\n', "\\n"),
    };
    let (letter, rest) = match kind {
        Kind::File { size } => {
            let content = content();
            assert_eq!(content.replace("\\n", "\n").len() as u64, *size, "{path}");
            ('f', format!(" ={content}"))
        }
        Kind::Directory { opaque: false } => ('d', String::new()),
        Kind::Directory { opaque: true } => ('o', String::new()),
        Kind::Symlink { target } => ('l', format!(" -> {}", String::from_utf8_lossy(target))),
        Kind::Hardlink { target } => ('h', format!(" -> {}", String::from_utf8_lossy(target))),
        Kind::Character { .. } => ('c', String::new()),
        Kind::Block { .. } => ('b', String::new()),
        Kind::Fifo => ('p', String::new()),
        Kind::Whiteout => ('w', String::new()),
    };
    let time = if *mtime == NOW { "now".to_owned() } else { mtime.to_string() };
    // When a symbolic link was made cannot be set here.
    let time = if letter == 'l' && *mtime > NOW { String::new() } else { format!(" @{time}") };
    format!("{letter} {mode:o} {uid}:{gid} {path}{rest}{time}\n")
}
