//! What every modifier means, as a table.

use super::{Env, Lexer};

fn env() -> Env {
    let pairs = [
        ("v", "foo.tar.gz"),
        ("e", ""),
        ("a", "b c"),
        ("p", "/usr/local/bin"),
        ("n", "x\ny"),
        ("_u1", "under"),
        ("star", "a*b*c"),
    ];
    Env(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn values() {
    for (word, want) in [
        ("", ""),
        ("plain", "plain"),
        ("$v", "foo.tar.gz"),
        ("${v}x", "foo.tar.gzx"),
        ("$vx", ""),
        ("$_u1-x", "under-x"),
        ("\\$v", "$v"),
        ("'$v'", "$v"),
        ("\"$v\"", "foo.tar.gz"),
        ("\"\\$v\"", "$v"),
        ("\"a\\nb\"", "a\\nb"),
        ("a\\nb", "anb"),
        ("\"'$v'\"", "'foo.tar.gz'"),
        ("'\"'", "\""),
        ("$", "$"),
        ("$/", "$/"),
        ("$1", ""),
        ("$10x", "x"),
        ("trailing\\", "trailing"),
        ("${u:-w}", "w"),
        ("${u-w}", "w"),
        ("${e:-w}", "w"),
        ("${e-w}", ""),
        ("${v:-w}", "foo.tar.gz"),
        ("${u:-$v}", "foo.tar.gz"),
        ("${u:-${x:-deep}}", "deep"),
        ("${u:-'a b'}", "a b"),
        ("${u:-a\\}b}", "a}b"),
        ("${v:+w}", "w"),
        ("${v+w}", "w"),
        ("${e:+w}", ""),
        ("${e+w}", "w"),
        ("${u:+w}", ""),
        ("${v:?no}", "foo.tar.gz"),
        ("${e?no}", ""),
        ("${v#*.}", "tar.gz"),
        ("${v##*.}", "gz"),
        ("${v%.*}", "foo.tar"),
        ("${v%%.*}", "foo"),
        ("${v#bar}", "foo.tar.gz"),
        ("${v#?}", "oo.tar.gz"),
        ("${p##*/}", "bin"),
        ("${p%/*}", "/usr/local"),
        ("${star#a\\*}", "b*c"),
        ("${star%\\*c}", "a*b"),
        ("${n#*}", "x\ny"),
        ("${n##*}", "\ny"),
        ("${v/o/0}", "f0o.tar.gz"),
        ("${v//o/0}", "f00.tar.gz"),
        ("${p//\\//_}", "_usr_local_bin"),
        ("${v/.*/}", "foo"),
        ("${v/zz/y}", "foo.tar.gz"),
        ("${u/a/b}", ""),
        ("${u#a}", ""),
        ("${v//[o]/x}", "foo.tar.gz"),
    ] {
        let got = Lexer::new('\\').expand(word, &env()).map(|it| it.text);
        assert_eq!(got.as_deref(), Ok(want), "{word}");
    }
}

#[test]
fn errors() {
    for (word, want) in [
        ("${", "`}` is missing"),
        ("${v", "`}` is missing"),
        ("${}", "bad substitution"),
        ("${:x}", "bad substitution"),
        ("${{v}}", "bad substitution"),
        ("${v:-w", "`}` is missing"),
        ("${v=w}", "unsupported modifier `=`"),
        ("${v:=w}", "unsupported modifier `:=`"),
        ("${v^^}", "unsupported modifier `^`"),
        ("'a", "single quote"),
        ("\"a", "double quote"),
        ("${u?}", "u: is not allowed to be unset"),
        ("${u:?gone}", "u: gone"),
        ("${e:?}", "e: is not allowed to be empty"),
        ("${v#\\n}", "invalid escape"),
        ("${v/a}", "is missing"),
    ] {
        let got = Lexer::new('\\').expand(word, &env());
        assert!(got.as_ref().is_err_and(|it| it.contains(want)), "{word}: {got:?}");
    }
    let deep = "${a:+".repeat(5000);
    assert!(Lexer::new('\\').expand(&deep, &env()).is_err());
}

#[test]
fn words_are_split_behind_the_expansion() {
    for (word, want) in [
        ("$a d", &["b", "c", "d"][..]),
        ("\"$a\" d", &["b c", "d"]),
        ("a\\ b", &["a b"]),
        ("  x  ", &["x"]),
        ("''", &[]),
    ] {
        assert_eq!(Lexer::new('\\').expand(word, &env()).unwrap().words, want, "{word}");
    }
}

#[test]
fn the_other_escape_character() {
    let lexer = Lexer::new('`');
    assert_eq!(lexer.expand("c:\\$v", &env()).unwrap().text, "c:\\foo.tar.gz");
    assert_eq!(lexer.expand("`$v", &env()).unwrap().text, "$v");
}

#[test]
fn raw_and_kept() {
    let lexer = Lexer { raw_quotes: true, keep_unset: true, ..Lexer::new('\\') };
    for (word, want) in
        [("\"$v\" '$v'", "\"foo.tar.gz\" '$v'"), ("$u ${u} ${u:-x}", "$u ${u} ${u:-x}")]
    {
        assert_eq!(lexer.expand(word, &env()).unwrap().text, want);
    }
}
