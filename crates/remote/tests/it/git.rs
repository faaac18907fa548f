//! Git repositories, made by the tests and fetched through git's own file transport.

use crate::{
    server::{Server, response},
    smart::repositories,
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};
use strake_cache::Store;
use strake_plan::GitSource;
use strake_remote::{Checkout, Commit, GitOptions, Options, Remote, RemoteError};

/// When all commits of the tests were made.
const TIME: i64 = 1_500_000_000;

/// Folders for a remote, a store and checkouts.
struct Lab {
    dir: tempfile::TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let lab = Lab { dir, store };
        let source = lab.path("source");
        fs::create_dir_all(source.join("dir/deep")).unwrap();
        lab.git(&["init", "--quiet", "-b", "main", "."]);
        fs::write(source.join("a.txt"), "one\n").unwrap();
        fs::write(source.join("run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(source.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(source.join("dir/deep/d.txt"), "d\n").unwrap();
        symlink("a.txt", source.join("link")).unwrap();
        symlink("/etc", source.join("out")).unwrap();
        lab.commit("one");
        lab.git(&["tag", "light"]);
        lab.git(&["tag", "-a", "-m", "annotated", "v1"]);
        lab.git(&["checkout", "--quiet", "-b", "other"]);
        fs::write(source.join("b.txt"), "two\n").unwrap();
        lab.commit("two");
        lab.git(&["checkout", "--quiet", "main"]);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.path("source"));
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
            command.env(format!("GIT_{who}_DATE"), format!("{TIME} +0000"));
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let done = command.output().unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn source(&self, reference: Option<&str>) -> GitSource {
        GitSource {
            remote: format!("file://{}", self.path("source").display()),
            reference: reference.map(str::to_owned),
            subdir: None,
            checksum: None,
            keep_git_dir: false,
            submodules: true,
            commit_mtime: false,
            fetch_by_commit: false,
        }
    }

    fn take(&self, source: &GitSource) -> Result<(Commit, Checkout), RemoteError> {
        let remote = remote(&[]);
        let commit = remote.commit(&self.store, source)?;
        let folder = self.store.temp_dir("test").unwrap().keep().join("checkout");
        let checkout = remote.checkout(&self.store, source, &commit, &folder)?;
        Ok((commit, checkout))
    }

    /// The error for a source.
    fn refusal(&self, source: &GitSource) -> RemoteError {
        self.take(source).unwrap_err()
    }
}

fn remote(secrets: &[(&str, &str)]) -> Remote {
    let path = std::env::var_os("PATH").unwrap();
    let git = GitOptions { env: vec![("PATH".into(), path)], ..GitOptions::default() };
    let options = Options { git, ..Options::standard() };
    let secrets = secrets.iter().map(|(id, value)| ((*id).to_owned(), value.as_bytes().to_vec()));
    Remote::new(options, secrets.collect::<BTreeMap<_, _>>())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const FILES: [&str; 5] = ["a.txt", "dir", "link", "out", "run.sh"];

#[test]
fn the_default_is_the_remote_s_head() {
    let lab = Lab::new();
    let (commit, checkout) = lab.take(&lab.source(None)).unwrap();
    assert_eq!(commit.id, lab.git(&["rev-parse", "main"]));
    assert_eq!(commit.reference.as_deref(), Some("refs/heads/main"));
    assert_eq!(names(&checkout.folder), FILES);
    assert_eq!(checkout.time, TIME);
    let mode = |name: &str| checkout.folder.join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!([mode("a.txt"), mode("run.sh"), mode("dir")], [0o644, 0o755, 0o755]);
}

#[test]
fn references_of_all_kinds() {
    let lab = Lab::new();
    let (main, other) = (lab.git(&["rev-parse", "main"]), lab.git(&["rev-parse", "other"]));
    for (written, expected) in [
        ("other", &other),
        ("refs/heads/other", &other),
        ("light", &main),
        ("v1", &main),
        ("refs/tags/v1", &main),
        (&*other, &other),
    ] {
        let (commit, checkout) = lab.take(&lab.source(Some(written))).unwrap();
        assert_eq!(commit.id, *expected, "{written}");
        assert_eq!(checkout.folder.join("b.txt").exists(), *expected == other, "{written}");
    }
}

#[test]
fn a_branch_that_moves_is_found_again_and_an_old_commit_too() {
    let lab = Lab::new();
    let old = lab.take(&lab.source(Some("main"))).unwrap().0;
    fs::write(lab.path("source/new.txt"), "new").unwrap();
    let new = lab.commit("three");
    let (commit, checkout) = lab.take(&lab.source(Some("main"))).unwrap();
    assert_eq!(commit.id, new);
    assert!(checkout.folder.join("new.txt").exists());
    let (_, checkout) = lab.take(&lab.source(Some(&old.id))).unwrap();
    assert_eq!(names(&checkout.folder), FILES);
}

#[test]
fn a_folder_of_it() {
    let lab = Lab::new();
    let at = |subdir: &str| GitSource { subdir: Some(subdir.to_owned()), ..lab.source(None) };
    let (_, checkout) = lab.take(&at("dir")).unwrap();
    assert_eq!(names(&checkout.folder), ["deep"]);
    let error = |subdir| lab.refusal(&at(subdir)).to_string();
    let start =
        |subdir| format!("the folder `{subdir}` of {} cannot be taken", lab.source(None).remote);
    assert_eq!(error("none"), format!("{}: there is none", start("none")));
    assert_eq!(error("a.txt"), format!("{}: it is a file", start("a.txt")));
    assert_eq!(error("out"), format!("{}: it leads out of the repository", start("out")));
    assert_eq!(error("../.."), format!("{}: it leads out of the repository", start("../..")));
}

#[test]
fn checksums() {
    let lab = Lab::new();
    let main = lab.git(&["rev-parse", "main"]);
    let with = |reference: &str, checksum: &str| GitSource {
        checksum: Some(checksum.to_owned()),
        ..lab.source(Some(reference))
    };
    lab.take(&with("main", &main)).unwrap();
    lab.take(&with("main", &main[..7])).unwrap();
    lab.take(&with("v1", &lab.git(&["rev-parse", "v1"]))).unwrap();
    let error = lab.refusal(&with("other", &main[..7]));
    let other = lab.git(&["rev-parse", "other"]);
    let remote = lab.source(None).remote;
    let told =
        format!("`other` of {remote} is commit {other}, not {} as the checksum says", &main[..7]);
    assert_eq!(error.to_string(), told);
    // The commit is what counts, wherever the branch is.
    let pinned = GitSource { fetch_by_commit: true, ..with("other", &main) };
    assert_eq!(lab.take(&pinned).unwrap().0.id, main);
}

#[test]
fn a_reference_that_is_not_there() {
    let lab = Lab::new();
    let remote = lab.source(None).remote;
    let error = lab.refusal(&lab.source(Some("nowhere")));
    assert_eq!(error.to_string(), format!("{remote} has no branch, tag or commit `nowhere`"));
    let error = lab.refusal(&lab.source(Some("1234567")));
    assert_eq!(error.hint().unwrap(), "a commit is written with all of its 40 digits");
    let commit = "0123456789012345678901234567890123456789";
    let error = lab.refusal(&lab.source(Some(commit)));
    assert_eq!(error.to_string(), format!("{remote} has no branch, tag or commit `{commit}`"));
    let hint = format!("`git ls-remote {remote}` lists those that there are");
    assert_eq!(error.hint().unwrap(), hint);
}

#[test]
fn the_repository_itself_may_stay() {
    let lab = Lab::new();
    let (_, checkout) =
        lab.take(&GitSource { keep_git_dir: true, ..lab.source(Some("v1")) }).unwrap();
    let git = |args: &[&str]| {
        let done = Command::new("git").arg("-C").arg(&checkout.folder).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(git(&["log", "--format=%s"]), "one");
    assert_eq!(git(&["tag", "--points-at", "HEAD"]), "v1");
    assert_eq!(git(&["remote", "get-url", "origin"]), lab.source(None).remote);
    assert!(!checkout.folder.join(".git/FETCH_HEAD").exists());
}

/// What Docker leaves: the annotated tag itself, and otherwise the name as a branch and as a tag.
#[test]
fn a_repository_that_stays_knows_what_it_is() {
    let lab = Lab::new();
    lab.git(&["tag", "-a", "-m", "annotated", "v2", "other"]);
    let other = lab.git(&["rev-parse", "other"]);
    for (written, names, described) in [
        (Some("v1"), &["refs/tags/v1"][..], "v1"),
        (Some("refs/tags/v1"), &["refs/tags/v1"], "v1"),
        (Some("light"), &["refs/heads/light", "refs/tags/light"], "light"),
        (Some("refs/tags/light"), &["refs/tags/light"], "light"),
        (Some("main"), &["refs/heads/main", "refs/tags/main"], "main"),
        (None, &["refs/heads/main", "refs/tags/main"], "main"),
        (
            Some("refs/heads/other"),
            &["refs/heads/other", "refs/tags/refs/heads/other"],
            "refs/heads/other",
        ),
        (Some(&other), &[], ""),
        // After its commit, which is there by now.
        (Some("v2"), &["refs/tags/v2"], "v2"),
    ] {
        let source = GitSource { keep_git_dir: true, ..lab.source(written) };
        let (_, checkout) = lab.take(&source).unwrap();
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            let done = git.arg("-C").arg(&checkout.folder).args(args).output().unwrap();
            String::from_utf8(done.stdout).unwrap()
        };
        let found = git(&["for-each-ref", "--format=%(refname)"]);
        assert_eq!(found.lines().collect::<Vec<_>>(), names, "{written:?}");
        assert_eq!(git(&["describe", "--tags"]).trim(), described, "{written:?}");
        assert_eq!(git(&["status", "--porcelain"]), "", "{written:?}");
    }
}

#[test]
fn files_may_have_the_time_of_the_commit() {
    let lab = Lab::new();
    let (_, checkout) = lab.take(&GitSource { commit_mtime: true, ..lab.source(None) }).unwrap();
    for name in ["", "a.txt", "link", "dir/deep"] {
        let facts = checkout.folder.join(name).symlink_metadata().unwrap();
        assert_eq!(facts.mtime(), TIME, "{name}");
    }
}

/// A server's folder of bare repositories: `x.git`, whose branch `mods` has `m.git` as a submodule.
fn served(lab: &Lab, submodule_url: &str) -> PathBuf {
    let root = lab.path("served");
    fs::create_dir(&root).unwrap();
    let source = lab.path("source").display().to_string();
    let bare = |name: &str| {
        let to = root.join(name).display().to_string();
        lab.git(&["clone", "--quiet", "--bare", &source, &to]);
    };
    bare("m.git");
    let text = format!("[submodule \"m\"]\n\tpath = m\n\turl = {submodule_url}\n");
    let commit = lab.git(&["rev-parse", "other"]);
    lab.git(&["checkout", "--quiet", "-b", "mods"]);
    fs::write(lab.path("source/.gitmodules"), text).unwrap();
    lab.git(&["add", ".gitmodules"]);
    lab.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},m")]);
    lab.git(&["commit", "--quiet", "-m", "submodule"]);
    lab.git(&["checkout", "--quiet", "--force", "main"]);
    bare("x.git");
    root
}

#[test]
fn real_servers_give_out_commits_tags_and_submodules() {
    let lab = Lab::new();
    let server = repositories(&served(&lab, "../m.git"), |_| true);
    let source =
        |reference: &str| GitSource { remote: server.url("/x.git"), ..lab.source(Some(reference)) };
    let (_, checkout) = lab.take(&source("mods")).unwrap();
    assert_eq!(
        names(&checkout.folder.join("m")),
        ["a.txt", "b.txt", "dir", "link", "out", "run.sh"]
    );
    assert!(!checkout.folder.join(".git").exists());
    let (_, kept) = lab.take(&GitSource { keep_git_dir: true, ..source("mods") }).unwrap();
    assert!(kept.folder.join("m/.git").is_file() && kept.folder.join("m/b.txt").is_file());
    let below = GitSource { subdir: Some("m/dir".to_owned()), ..source("mods") };
    assert_eq!(names(&lab.take(&below).unwrap().1.folder), ["deep"]);
    let without = GitSource { submodules: false, ..source("mods") };
    assert_eq!(names(&lab.take(&without).unwrap().1.folder.join("m")), [""; 0]);
    let other = lab.git(&["rev-parse", "other"]);
    assert_eq!(lab.take(&source(&other)).unwrap().0.id, other);
    assert_eq!(lab.take(&source("v1")).unwrap().0.id, lab.git(&["rev-parse", "main"]));
}

#[test]
fn a_submodule_that_is_not_there_is_named() {
    let lab = Lab::new();
    let server = repositories(&served(&lab, "../nothing.git"), |_| true);
    let source = GitSource { remote: server.url("/x.git"), ..lab.source(Some("mods")) };
    let error = lab.refusal(&source).to_string();
    assert!(error.contains("git submodule: ") && error.contains("nothing.git"), "{error}");
}

/// Servers of plain files have no shallow copies, and do not give out a commit by its digits.
#[test]
fn plain_servers_give_out_commits_too() {
    let lab = Lab::new();
    let root = served(&lab, "../m.git");
    let bare = root.join("x.git").display().to_string();
    lab.git(&["-C", &bare, "update-server-info"]);
    let server = Server::new(move |asked| {
        let path = asked.path.split('?').next().unwrap().trim_start_matches('/');
        match fs::read(root.join(path)) {
            Ok(body) => response("200 OK", &[], &body),
            Err(_) => response("404 Not Found", &[], b""),
        }
    });
    let source = |reference: &str| GitSource {
        remote: server.url("/x.git"),
        submodules: false,
        ..lab.source(Some(reference))
    };
    let other = lab.git(&["rev-parse", "other"]);
    assert!(lab.take(&source(&other)).unwrap().1.folder.join("b.txt").is_file());
    let kept = GitSource { keep_git_dir: true, ..source("v1") };
    assert!(lab.take(&kept).unwrap().1.folder.join(".git").is_dir());
    let error = lab.refusal(&source(&"0".repeat(40))).to_string();
    assert!(error.contains("has no branch, tag or commit"), "{error}");
}

#[test]
fn a_private_repository_is_fetched_with_its_secret() {
    let lab = Lab::new();
    let root = served(&lab, "../m.git");
    let server = repositories(&root, |asked| {
        asked.header("authorization") == Some("basic eC1hY2Nlc3MtdG9rZW46Z2VoZWlt")
    });
    let source = GitSource { remote: server.url("/x.git"), ..lab.source(Some("v1")) };
    let take = |secrets: &[(&str, &str)]| {
        let remote = remote(secrets);
        let commit = remote.commit(&lab.store, &source)?;
        let folder = lab.store.temp_dir("test").unwrap().keep().join("checkout");
        remote.checkout(&lab.store, &source, &commit, &folder)
    };
    let host = server.url("").replace("http://", "");
    let token = format!("GIT_AUTH_TOKEN.{host}");
    for secrets in [
        &[("GIT_AUTH_TOKEN", "geheim\n")][..],
        &[("GIT_AUTH_HEADER", "basic eC1hY2Nlc3MtdG9rZW46Z2VoZWlt")],
        &[(&token, "geheim"), ("GIT_AUTH_TOKEN", "another"), ("GIT_AUTH_HEADER", "third")],
    ] {
        assert_eq!(names(&take(secrets).unwrap().folder), FILES);
    }
    let hint = |secrets| take(secrets).unwrap_err().hint().unwrap();
    assert!(hint(&[]).contains("give --secret id=GIT_AUTH_TOKEN"), "{}", hint(&[]));
    let wrong = hint(&[("GIT_AUTH_TOKEN", "wrong")]);
    assert!(wrong.contains("was sent and refused"), "{wrong}");
    let mut grep = Command::new("grep");
    let leaked =
        grep.args(["-rE", "geheim|eC1hY2Nlc3M"]).arg(lab.store.root()).output().unwrap().stdout;
    assert_eq!(String::from_utf8_lossy(&leaked), "");
}

#[test]
fn a_submodule_may_not_be_a_folder_of_this_machine() {
    let lab = Lab::new();
    let url = format!("file://{}", lab.path("source").display());
    lab.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "mod"]);
    lab.commit("submodule");
    let error = lab.refusal(&lab.source(None)).to_string();
    assert!(error.contains("transport 'file' not allowed"), "{error}");
    let (_, checkout) = lab.take(&GitSource { submodules: false, ..lab.source(None) }).unwrap();
    assert_eq!(names(&checkout.folder.join("mod")), [""; 0]);
}

#[test]
fn without_git_it_says_so() {
    let lab = Lab::new();
    let git = GitOptions { env: vec![("PATH".into(), "/nowhere".into())], ..GitOptions::default() };
    let remote = Remote::new(Options { git, ..Options::standard() }, BTreeMap::new());
    let error = remote.commit(&lab.store, &lab.source(None)).unwrap_err();
    let address = lab.source(None).remote;
    assert_eq!(error.to_string(), format!("cannot fetch {address}: git is not installed"));
    assert!(error.hint().unwrap().starts_with("install git"));
}

#[test]
fn ssh_needs_an_agent() {
    let lab = Lab::new();
    let source = GitSource { remote: "git@127.0.0.1:x.git".to_owned(), ..lab.source(None) };
    let error = lab.refusal(&source);
    assert_eq!(error.to_string(), "cannot fetch git@127.0.0.1:x.git: no SSH agent was given");
}

#[test]
fn credentials_are_sent_in_a_header_and_shown_nowhere() {
    let server = Server::new(|asked| match asked.path.starts_with("/moved.git") {
        true => response("302 Found", &["Location: /elsewhere.git/info/refs"], b""),
        false => response("403 Forbidden", &[], b""),
    });
    let lab = Lab::new();
    let ask = |remote_url: String, secrets: &[(&str, &str)]| {
        let source = GitSource { remote: remote_url, ..lab.source(None) };
        remote(secrets).commit(&lab.store, &source).unwrap_err()
    };
    let url = server.url("/x.git");
    let error = ask(url.clone(), &[]);
    let hint =
        "check the address; for a private repository give --secret id=GIT_AUTH_TOKEN,env=NAME";
    assert_eq!(error.hint().unwrap(), hint);
    let error = ask(url.clone(), &[("GIT_AUTH_TOKEN", "geheim")]);
    assert!(!error.to_string().contains("geheim"), "{error}");
    let error = ask(url.replace("http://", "http://me:geheim@"), &[]);
    assert!(!error.to_string().contains("geheim"), "{error}");
    ask(server.url("/moved.git"), &[("GIT_AUTH_TOKEN", "geheim")]);
    let sent: Vec<Option<String>> =
        server.asked().iter().map(|it| it.header("authorization").map(str::to_owned)).collect();
    let token = Some("basic eC1hY2Nlc3MtdG9rZW46Z2VoZWlt".to_owned());
    assert_eq!(sent[..3], [None, token, Some("basic bWU6Z2VoZWlt".to_owned())]);
    assert!(server.asked().iter().all(|it| !it.path.starts_with("/elsewhere")));
}
