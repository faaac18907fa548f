//! `--cache-from` and `--cache-to`: no cache is kept outside of the store so far. Each kind is refused
//! with what does the same, so that nobody waits for a cache that never hits.

use crate::failure::Failure;

/// The kinds of buildx, and what to do instead of each.
const KINDS: &[(&str, &str)] = &[
    ("registry", "keep the folder of the store between builds: a volume, or the CI's own cache"),
    ("inline", "no cache is kept in images: keep the folder of the store between builds"),
    ("local", "give that folder to --store: steps are kept there and found again"),
    ("gha", "let actions/cache keep the folder of the store: give it a fixed place with --store"),
    ("s3", "copy the folder of the store there after a build, and back before the next"),
    ("azblob", "copy the folder of the store there after a build, and back before the next"),
];

/// Refuses all of them; a word without `type=` is the name of an image.
pub(crate) fn check(flag: &str, text: &str) -> Result<(), Failure> {
    // Docker takes an empty one, as of an unset variable, for none.
    if text.is_empty() {
        return Ok(());
    }
    let mut pairs = text.split(',').filter_map(|it| it.split_once('='));
    let kind = match pairs.find(|it| it.0.eq_ignore_ascii_case("type")) {
        Some((_, kind)) => kind,
        None if text.contains('=') => "",
        None => "registry",
    };
    if let Some((_, instead)) = KINDS.iter().find(|it| it.0 == kind) {
        let what = format!("{flag} {text}: remote caches are not supported yet");
        return Err(Failure::usage(what).hint(instead));
    }
    let all = KINDS.iter().map(|it| it.0).collect::<Vec<_>>().join(", ");
    let what = match kind {
        "" => "`type` is missing".to_owned(),
        kind => format!("`type={kind}` is not known"),
    };
    Err(Failure::usage(format!("{flag} {text}: {what}")).hint(format!("types are {all}")))
}
