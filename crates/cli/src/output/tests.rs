//! Values of `-o`: what they mean and what is said of wrong ones.

use super::{Kind, Output, Sink, check_stdout, parse};
use strake_export::MediaTypes;
use strake_layer::Compression;

fn kind(text: &str) -> Kind {
    parse(text).unwrap().kind
}

#[test]
fn types_and_destinations() {
    let file = |it: &str| Sink::File(it.into());
    assert_eq!(kind("out"), Kind::Local("out".into()));
    assert_eq!(kind("./a=b"), Kind::Local("./a=b".into()));
    assert_eq!(kind("-"), Kind::Tar(Sink::Stdout));
    assert_eq!(kind("type=oci,dest=a.tar"), Kind::OciTar(file("a.tar")));
    assert_eq!(kind("type=oci,dest=-"), Kind::OciTar(Sink::Stdout));
    assert_eq!(kind("type=oci"), Kind::OciTar(Sink::Stdout));
    assert_eq!(kind("type=oci,dest=d,tar=false"), Kind::OciFolder("d".into()));
    assert_eq!(kind(r#""dest=a,b.tar",type=tar"#), Kind::Tar(file("a,b.tar")));
    assert_eq!(kind("type=local,dest=out"), Kind::Local("out".into()));
    assert_eq!(kind("type=docker,dest=a.tar"), Kind::Docker(file("a.tar")));
    assert_eq!(kind("type=image"), Kind::Store);
    assert_eq!(kind("type=registry"), Kind::Registry { by_digest: false, store: false });
    let digest = "type=image,push=true,push-by-digest=1,name=a/b";
    assert_eq!(kind(digest), Kind::Registry { by_digest: true, store: false });
}

#[test]
fn options_of_images() {
    let output =
        parse(r#"type=oci,"name=a,b:v1",compression=zstd,force-compression=true"#).unwrap();
    let names: Vec<_> = output.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["docker.io/library/a:latest", "docker.io/library/b:v1"]);
    assert_eq!(output.compression(), Some(Compression::Zstd(3)));
    assert!(output.force_compression);
    assert_eq!(output.media_types, MediaTypes::Oci);
    let level = |it: &str| parse(it).unwrap().compression();
    assert_eq!(level("type=oci,compression-level=9"), Some(Compression::Gzip(9)));
    assert_eq!(level("type=oci,compression=uncompressed"), Some(Compression::None));
    assert_eq!(level("type=oci"), None);
    let types = |it: &str| parse(it).unwrap().media_types;
    assert_eq!(types("type=docker,dest=f"), MediaTypes::Docker);
    assert_eq!(types("type=docker,dest=f,oci-mediatypes=true"), MediaTypes::Oci);
    assert_eq!(types("type=registry,oci-mediatypes=false"), MediaTypes::Docker);
}

/// Each wrong value, with words of the message and of the hint.
#[test]
fn wrong_values_are_told() {
    for (text, message, hint) in [
        ("", "empty", "folder"),
        ("type=ocy", "`type=ocy`", "did you mean `oci`?"),
        ("type=cacheonly,dest=d", "cacheonly", "alone"),
        ("dest=a", "`type` is missing", "type=oci"),
        ("type=oci,compresion=gzip", "`compresion` is not known", "did you mean `compression`?"),
        ("type=oci,xyzzy=1", "`xyzzy` is not known", "keys are"),
        ("type=oci,annotation-idx.a=b", "`idx` is no type", "manifest-descriptor"),
        ("type=tar,annotation.a=b", "no meaning for type=tar", "type=oci"),
        ("type=oci,source-date-epoch=-1", "seconds", ""),
        ("type=image,store=false", "writes nothing", "push=true"),
        ("type=image,unpack=true", "without a daemon", "leave it out"),
        ("type=image,registry.insecure=true", "not supported", "--plain-http"),
        ("type=oci,compression=lz4", "lz4", "gzip, estargz, zstd or uncompressed"),
        ("type=local,dest=d,mode=delete", "`mode=delete` is not supported", "empty the folder"),
        ("type=local,dest=d,compression=gzip", "no meaning for type=local", "type=oci"),
        ("type=oci,name=a,b", "`b` has no `=`", "quote"),
        ("type=oci,dest=a,dest=b", "twice", "once"),
        ("type=local", "`dest` is missing", "dest=FOLDER"),
        ("type=local,dest=-", "standard output", "type=tar"),
        ("type=docker", "no daemon", "docker load"),
        ("type=image,push-by-digest=true", "without a push", "push=true"),
        ("type=oci,compression-level=99", "between 1 and 9", ""),
        ("type=oci,compression-level=high", "not a number", ""),
        ("type=oci,tar=maybe", "neither true nor false", ""),
        ("type=oci,name=A", "lowercase", ""),
        (r#"type=oci,"name=a"#, "not closed", ""),
    ] {
        let failure = parse(text).unwrap_err();
        assert!(failure.message.starts_with(&format!("-o {text}: ")), "{text}: {failure:?}");
        assert!(failure.message.contains(message), "{text}: {failure:?}");
        assert!(failure.hint.unwrap_or_default().contains(hint), "{text}");
        assert_eq!(failure.code, 2);
    }
}

fn chosen(written: &[&str], push: bool, load: bool, tagged: bool) -> Vec<Kind> {
    let written: Vec<_> = written.iter().map(|it| (*it).to_owned()).collect();
    let outputs = Output::choose(&written, push, load, tagged).unwrap();
    outputs.into_iter().map(|it| it.kind).collect()
}

#[test]
fn flags_and_outputs_together() {
    let push = Kind::Registry { by_digest: false, store: false };
    assert_eq!(chosen(&[], false, false, false), []);
    assert_eq!(chosen(&[], false, false, true), [Kind::Store]);
    assert_eq!(chosen(&[], true, false, true), std::slice::from_ref(&push));
    assert_eq!(chosen(&[], true, true, true), [push.clone(), Kind::Store]);
    assert_eq!(chosen(&["type=image"], true, false, true), std::slice::from_ref(&push));
    assert_eq!(chosen(&["type=registry"], true, false, true), std::slice::from_ref(&push));
    assert_eq!(chosen(&["d"], true, false, true), [Kind::Local("d".into()), push]);
    assert_eq!(chosen(&["d"], false, false, true), [Kind::Local("d".into())]);
    assert!(Output::choose(&[], true, false, false).is_err());
    assert_eq!(chosen(&["type=image"], false, false, false), [Kind::Store]);
    assert_eq!(chosen(&["type=cacheonly"], false, false, true), []);
    assert_eq!(chosen(&["type=cacheonly"], false, true, true), [Kind::Store]);
    let named = "type=registry,name=a/b".to_owned();
    assert!(Output::choose(&[named], false, false, false).is_ok());
}

#[test]
fn one_archive_and_no_terminal_on_standard_output() {
    let stdout = || parse("type=oci").unwrap();
    let file = parse("type=oci,dest=f").unwrap();
    assert!(check_stdout(&[stdout()], false).is_ok());
    assert!(check_stdout(&[stdout()], true).is_err());
    assert!(check_stdout(&[stdout(), parse("-").unwrap()], false).is_err());
    assert!(check_stdout(&[file.clone(), file], true).is_ok());
}
