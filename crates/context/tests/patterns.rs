//! The table of moby/patternmatcher: which paths a list of patterns matches.

use strake_context::Patterns;

/// Patterns separated by a space, a path, whether it matches (by itself or through a parent).
const CASES: &[(&str, &str, bool)] = &[
    ("**", "file", true),
    ("**/", "file", true),
    ("**", "dir/file", true),
    ("**/**", "dir/file", true),
    ("dir/**", "dir/file", true),
    ("dir/**", "dir/dir2/file", true),
    ("dir/**", "dir", false),
    ("**/dir", "dir", true),
    ("**/dir", "dir/file", true),
    ("**/dir2/*", "dir/dir2/file", true),
    ("**/dir2/**", "dir/dir2/dir3/file", true),
    ("**file", "file", true),
    ("**file", "dir/file", true),
    ("**/file", "dir/dir/file", true),
    ("**/file*", "dir/dir/file.txt", true),
    ("**/file*txt", "dir/dir/file.txt", true),
    ("**/**/*.txt", "dir/dir/file.txt", true),
    ("**/**/*.txt2", "dir/dir/file.txt", false),
    ("**/*.txt", "file.txt", true),
    ("a**/*.txt", "a/dir/dir/file.txt", true),
    ("a/*.txt", "a/dir/file.txt", false),
    ("a/*.txt", "a/file.txt", true),
    ("a/*.txt**", "a/file.txt", true),
    ("a[b-d]e", "ae", false),
    ("a[b-d]e", "ace", true),
    ("a[^b-d]e", "aze", true),
    (".*", ".foo", true),
    (".*", "foo", false),
    ("abc.def", "abcZdef", false),
    ("abc?def", "abcZdef", true),
    ("abc?def", "abcdef", false),
    ("**/foo/bar", "foo/bar", true),
    ("**/foo/bar", "dir/dir2/foo/bar", true),
    ("abc/**", "abc/def/ghi", true),
    ("**/.foo", ".foo", true),
    ("**/.foo", "bar.foo", false),
    ("a(b)c/def", "a(b)c/def", true),
    ("a(b)c/def", "a(b)c/xyz", false),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
    ("dist/*.whl", "dist/p-2.4.0rc3+g08.whl", true),
    ("a\\\\", "a\\", true),
    ("a\\*b", "a*b", true),
    ("** !util/docker/web", "util/docker/web/foo", false),
    ("** !util/docker/web util/docker/web/foo", "util/docker/web/foo", true),
    ("** !dist/*.whl", "dist/p+g.whl", false),
    ("docs !docs/README.md", "docs/README.md", false),
    ("docs/ !docs/README.md", "docs/README.md", false),
    ("docs/* !docs/README.md", "docs/README.md", false),
    ("docs/* !docs/README.md", "docs/other", true),
    ("!file.go *.go", "file.go", true),
    ("*.go !file.go", "file.go", false),
    // Where other glob libraries think otherwise.
    ("**foo", "a/b/xfoo", true),
    ("foo**bar", "foo/a/bar", true),
    ("foo**bar", "fooxbar", false),
    ("{a,b}", "a", false),
    ("{a,b}", "{a,b}", true),
    ("[!a]", "b", false),
    ("[!a]", "!", true),
    ("*", "a/b", true),
    ("*/*", "a", false),
    ("* !a/b", "a/b", false),
    // An exception for a parent that nothing had excluded does not count: Docker's walk asks
    // directory by directory.
    ("a/b/c !a", "a/b/c", true),
    ("node_modules", "sub/node_modules", false),
    ("**/node_modules", "sub/node_modules/x/y", true),
    ("a[&&b]", "a&", true),
    ("a[x~~y]", "a~", true),
    ("?", "ü", true),
    ("/abs", "abs", false),
    ("foo*/[a-]", "foox/-", true),
    ("a|b", "b", false),
];

#[test]
fn table() {
    for (list, path, expected) in CASES {
        let list: Vec<&str> = list.split(' ').collect();
        let patterns = Patterns::new(&list).expect("the patterns are well formed");
        assert_eq!(patterns.matches(path.as_bytes()), *expected, "{list:?} {path}");
    }
}

#[test]
fn malformed_patterns_are_named() {
    for pattern in ["!", "[", "a[", "[]a]", "[x-]", "a\\", "a/[b"] {
        let error = Patterns::new(&["ok", pattern]).unwrap_err();
        assert!(error.to_string().contains(pattern), "{error}");
    }
    for pattern in ["", " ", "**", "a]", "foo*/[a-]"] {
        assert!(Patterns::new(&[pattern]).is_ok(), "{pattern}");
    }
}

#[test]
fn a_byte_that_is_not_text_is_one_character() {
    let patterns = Patterns::new(&["a?b", "x*"]).unwrap();
    assert!(patterns.matches(b"a\xffb") && patterns.matches(b"x\xff\xfe"));
    assert!(!patterns.matches(b"a\xff\xfeb"));
}
