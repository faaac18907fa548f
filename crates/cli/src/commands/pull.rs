//! `strake pull`.

use crate::{
    args_registry::PullArgs,
    failure::Failure,
    say,
    transfer::{Bench, Tally},
};
use rayon::prelude::*;
use strake_oci::{Platform, Reference};
use strake_registry::{Part, PushLayer, PushTree};

pub(crate) fn run(args: PullArgs) -> Result<(), Failure> {
    let PullArgs { names, platform, all_platforms, transfer } = args;
    let platform = platform.map_or_else(|| Ok(Platform::host()), |it| it.parse())?;
    let references = names.iter().map(|it| it.parse()).collect::<Result<Vec<Reference>, _>>()?;
    let bench = Bench::new(transfer)?;
    let part = if all_platforms { Part::Whole } else { Part::Platform(&platform) };
    for reference in &references {
        let title = format!("pulling {}", reference.familiar());
        let tree = bench.shown(title, |tally| {
            let tree = bench.client.tree(reference, &part)?;
            fetch(&bench, reference, &tree, tally)?;
            Ok(tree)
        })?;
        let digest = tree.root().digest();
        bench.store.tag_image(&reference.to_string(), &digest)?;
        say::data(&format!("{}@{digest}", without_digest(reference)));
    }
    Ok(())
}

/// Puts every blob, then every document into the store; each was checked against its digest.
fn fetch(
    bench: &Bench,
    reference: &Reference,
    tree: &PushTree,
    tally: &Tally<'_>,
) -> Result<(), Failure> {
    let folder = bench.store.temp_dir("pull")?;
    let one = |layer: &&PushLayer| {
        let descriptor = &layer.descriptor;
        let (digest, size) = (descriptor.digest, descriptor.size);
        let there = bench.store.blob(&digest).is_some();
        if !there {
            let path = folder.path().join(digest.hex());
            let progress = |current| tally.pulling(digest, current, size);
            bench.client.pull_blob_to(reference, descriptor, &path, &progress)?;
            bench.store.insert_blob(&path, &digest)?;
        }
        tally.pulled(digest, size, !there);
        Ok::<_, Failure>(())
    };
    tree.blobs().par_iter().try_for_each(one)?;
    for document in tree.documents() {
        bench.store.write_blob(&document.bytes)?;
    }
    Ok(())
}

fn without_digest(reference: &Reference) -> String {
    let tag = reference.tag.clone().or(reference.digest.is_none().then(|| "latest".to_owned()));
    let bare = Reference { digest: None, tag, ..reference.clone() }.familiar();
    match reference.digest {
        Some(_) if reference.tag.is_none() => bare.trim_end_matches(":latest").to_owned(),
        _ => bare,
    }
}
