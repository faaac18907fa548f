//! `strake push`.

use crate::{
    args_registry::PushArgs, failure::Failure, names, origin::Origin, say, transfer::Bench,
};
use strake_oci::Platform;
use strake_registry::Part;

pub(crate) fn run(args: PushArgs) -> Result<(), Failure> {
    let PushArgs { image, names, platform, ecr, transfer } = args;
    let platform: Option<Platform> = platform.map(|it| it.parse()).transpose()?;
    let written = if names.is_empty() { std::slice::from_ref(&image) } else { &names };
    let targets = names::targets(written)?;
    let bench = Bench::pushing(transfer, &ecr)?;
    let origin = Origin::find(&image, &bench.store)?;
    if let Origin::Registry(reference) = &origin {
        return Err(Failure::new(format!("the store has no image {}", reference.familiar()))
            .hint(format!("`strake copy {image} NAME` copies it from its registry")));
    }
    let part = platform.as_ref().map_or(Part::Whole, Part::Platform);
    let tree = origin.tree(&image, &part, &bench.store, &bench.client)?;
    let told = targets.iter().map(|it| it.familiar()).collect::<Vec<_>>().join(", ");
    let pushed = bench.shown(format!("pushing {image} to {told}"), |tally| {
        Ok(bench.client.push_tree(&tree, &targets, &|event| tally.pushed(event))?)
    })?;
    targets.iter().for_each(|it| say::data(&format!("{}@{}", it.familiar(), pushed.digest)));
    Ok(())
}
