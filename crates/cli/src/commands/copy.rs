//! `strake copy`.

use crate::{args_registry::CopyArgs, failure::Failure, names, say, transfer::Bench};
use strake_oci::{Platform, Reference};
use strake_registry::Part;

pub(crate) fn run(args: CopyArgs) -> Result<(), Failure> {
    let CopyArgs { from, to, platform, no_referrers, ecr, transfer } = args;
    let platform: Option<Platform> = platform.map(|it| it.parse()).transpose()?;
    let source: Reference = from.parse()?;
    let targets = names::targets(&to)?;
    let bench = Bench::pushing(transfer, &ecr)?;
    let part = platform.as_ref().map_or(Part::Whole, Part::Platform);
    let told = targets.iter().map(|it| it.familiar()).collect::<Vec<_>>().join(", ");
    let copied = bench.shown(format!("copying {} to {told}", source.familiar()), |tally| {
        let events = |event| tally.pushed(event);
        Ok(bench.client.copy(&source, &part, !no_referrers, &targets, &events)?)
    })?;
    if copied.referrers > 0 {
        say::note(&format!("with {} referrers", copied.referrers));
    }
    targets.iter().for_each(|it| say::data(&format!("{}@{}", it.familiar(), copied.digest)));
    Ok(())
}
