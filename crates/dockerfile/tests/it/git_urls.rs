//! Addresses of Git repositories, each with what it means.

use crate::support::show_git;
use strake_dockerfile::parse_git_url;

fn read(text: &str) -> String {
    match parse_git_url(text) {
        None => "no".to_owned(),
        Some(Ok(git)) => show_git(&git),
        Some(Err(why)) => format!("error: {why}"),
    }
}

#[test]
fn what_is_an_address_of_a_repository() {
    for (text, want) in [
        ("https://h.org/a.git", "git https://h.org/a.git"),
        ("HTTPS://h.org/a.git", "git HTTPS://h.org/a.git"),
        ("http://u:p@h.org:8080/x/a.git", "git http://u:p@h.org:8080/x/a.git"),
        ("https://h.org/a", "no"),
        ("https://h.org/a.git/", "no"),
        ("https://h.org/a.git.tgz", "no"),
        ("https://h.org/a.git:#b", "no"),
        ("https://h.git", "no"),
        ("https://h.org/a?x=b.git", "no"),
        ("git://h.org/a", "git git://h.org/a"),
        ("ssh://git@h.org:22/a", "git ssh://git@h.org:22/a"),
        ("git@h.org:a/b", "git git@h.org:a/b"),
        ("me_2@h-1.org:a/b.git#v1", "git me_2@h-1.org:a/b.git at=v1"),
        ("github.com/a/b", "git https://github.com/a/b"),
        ("github.com/a/b.git#v1:x", "git https://github.com/a/b.git at=v1 folder=x"),
        ("gitlab.com/a/b.git", "no"),
        ("ftp://h.org/a.git", "no"),
        (".git", "no"),
        ("./.git", "no"),
        ("a.git", "no"),
        ("h.org:a", "no"),
        ("a b@h.org:a", "no"),
        ("notes@2024", "no"),
        ("", "no"),
    ] {
        assert_eq!(read(text), want, "{text}");
    }
}

#[test]
fn fragments_name_a_reference_and_a_folder() {
    for (fragment, want) in [
        ("", ""),
        ("#", ""),
        ("#:", ""),
        ("#v1", " at=v1"),
        ("#release/1.2", " at=release/1.2"),
        ("#v1:", " at=v1"),
        ("#v1:a/b", " at=v1 folder=a/b"),
        ("#:a", " folder=a"),
        ("#:/a/", " folder=a"),
        ("#:../a", " folder=a"),
        ("#:.", ""),
        ("#a%20b:c%3Ad", " at=a b folder=c:d"),
        ("#pull/42/head", " at=pull/42/head"),
    ] {
        assert_eq!(
            read(&format!("https://h.org/a.git{fragment}")),
            format!("git https://h.org/a.git{want}")
        );
        assert_eq!(read(&format!("git://h.org/a{fragment}")), format!("git git://h.org/a{want}"));
    }
}

#[test]
fn queries_say_more() {
    let commit = "05d2d74403d23d99daf70f4eb4fc0ff16cae7f1a";
    for (query, want) in [
        ("?", String::new()),
        ("?ref=v1", " at=v1".to_owned()),
        ("?tag=v1", " at=refs/tags/v1".to_owned()),
        ("?tag=refs/tags/v1", " at=refs/tags/v1".to_owned()),
        ("?branch=x/y", " at=refs/heads/x/y".to_owned()),
        ("?branch=x&subdir=/d", " at=refs/heads/x folder=d".to_owned()),
        ("?branch=a%26b", " at=refs/heads/a&b".to_owned()),
        ("?ref=v1&subdir=d#v1:d", " at=v1 folder=d".to_owned()),
        ("?tag=v1#refs/tags/v1", " at=refs/tags/v1".to_owned()),
        ("?subdir=d#v1", " at=v1 folder=d".to_owned()),
        ("?checksum=05D2D74", " at=05d2d74 commit=05d2d74".to_owned()),
        ("?commit=05d2d74&tag=v1", " at=refs/tags/v1 commit=05d2d74".to_owned()),
        ("?commit=05d2&checksum=05d2", " at=05d2 commit=05d2".to_owned()),
        ("?keep-git-dir", " keep-git-dir".to_owned()),
        ("?keep-git-dir=", " keep-git-dir".to_owned()),
        ("?keep-git-dir=0", String::new()),
        ("?submodules", String::new()),
        ("?submodules=false", " no-submodules".to_owned()),
        ("?mtime=commit", " commit-mtime".to_owned()),
        ("?mtime=checkout", String::new()),
        (
            &format!("?ref=v1&checksum={commit}&fetch-by-commit=true"),
            format!(" at=v1 commit={commit} fetch-by-commit"),
        ),
        (
            &format!("?checksum={commit}&fetch-by-commit"),
            format!(" at={commit} commit={commit} fetch-by-commit"),
        ),
    ] {
        assert_eq!(
            read(&format!("https://h.org/a.git{query}")),
            format!("git https://h.org/a.git{want}")
        );
        assert_eq!(read(&format!("git@h.org:a{query}")), format!("git git@h.org:a{want}"));
    }
}

#[test]
fn queries_that_contradict_are_errors() {
    for (query, want) in [
        ("?ref=a#b", "the reference is `b` and `a` at once"),
        ("?tag=a#a", "the reference is `a` and `refs/tags/a` at once"),
        ("?branch=a&tag=a", "the reference is `refs/tags/a` and `refs/heads/a` at once"),
        ("?ref=a&branch=b", "the reference is `a` and `refs/heads/b` at once"),
        ("?subdir=a#:b", "the folder is `b` and `a` at once"),
        ("?commit=1&checksum=2", "the commit is `1` and `2` at once"),
        ("?ref=a&ref=a", "the query `ref` is written twice"),
        ("?ref", "the query `ref` has no value"),
        ("?subdir=", "the query `subdir` has no value"),
        (
            "?checksum=v1",
            "the query `checksum` is a commit in hexadecimal digits, or its beginning, not `v1`",
        ),
        ("?submodules=yes", "the query `submodules` is true or false, not `yes`"),
        ("?mtime=now", "the query `mtime` is checkout or commit, not `now`"),
        (
            "?fetch-by-commit&commit=05d2d74",
            "fetch-by-commit needs the whole commit: write checksum=COMMIT with 40 or 64 digits",
        ),
        (
            "?depth=1",
            "a Git address has no query `depth`: write ref, tag, branch, subdir, checksum, \
             keep-git-dir, submodules, mtime or fetch-by-commit",
        ),
    ] {
        assert_eq!(read(&format!("https://h.org/a.git{query}")), format!("error: {want}"));
    }
}
