//! Names that images are given.

use crate::failure::Failure;
use strake_oci::Reference;

/// Names to write in registries; a missing tag is `latest`.
pub(crate) fn targets(written: &[String]) -> Result<Vec<Reference>, Failure> {
    written.iter().map(|it| target(it)).collect()
}

fn target(written: &str) -> Result<Reference, Failure> {
    let mut name: Reference = written.parse()?;
    if name.digest.is_some() {
        return Err(Failure::usage(format!("{written}: a name to give has no digest"))
            .hint("write NAME:TAG"));
    }
    name.tag.get_or_insert_with(|| "latest".to_owned());
    Ok(name)
}
