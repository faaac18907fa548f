//! `strake tag`.

use crate::{
    args_registry::TagArgs, failure::Failure, images::store_folder, names, origin::Origin,
    registries, say,
};
use strake_cache::Store;
use strake_oci::Reference;
use strake_registry::Part;

pub(crate) fn run(args: TagArgs) -> Result<(), Failure> {
    let TagArgs { image, names, remote, registry, store } = args;
    if remote {
        let client = registries::client(&registry, None)?;
        let source: Reference = image.parse()?;
        let targets = names.iter().map(|it| further(&source, it)).collect::<Result<Vec<_>, _>>()?;
        let copied = client.copy(&source, &Part::Whole, false, &targets, &|_| {})?;
        targets.iter().for_each(|it| say::data(&format!("{}@{}", it.familiar(), copied.digest)));
        return Ok(());
    }
    let targets = names::targets(&names)?;
    let store = Store::open(&store_folder(store.store))?;
    let Origin::Store(digest) = Origin::find(&image, &store)? else {
        return Err(Failure::new(format!("the store has no image {image}"))
            .hint("`--remote` writes tags in the image's registry; `strake pull` fetches it"));
    };
    for name in &targets {
        store.tag_image(&name.to_string(), &digest)?;
        say::data(&format!("{}@{digest}", name.familiar()));
    }
    Ok(())
}

/// A bare tag, or a name in the same repository.
fn further(source: &Reference, written: &str) -> Result<Reference, Failure> {
    let bare = Reference { tag: Some(written.to_owned()), digest: None, ..source.clone() };
    if bare.to_string().parse::<Reference>().is_ok_and(|it| it == bare) {
        return Ok(bare);
    }
    let named = names::targets(&[written.to_owned()])?.remove(0);
    if (&named.registry, &named.repository) != (&source.registry, &source.repository) {
        return Err(Failure::usage(format!("{written} is in another repository than the image"))
            .hint(format!("`strake copy {} {written}` copies it there", source.familiar())));
    }
    Ok(named)
}
