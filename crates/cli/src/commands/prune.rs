//! `strake prune`: removes from the store what was not used lately.

use crate::{
    args::PruneArgs,
    environment,
    failure::Failure,
    say,
    units::{age, people, size},
};
use strake_cache::{PruneOptions, Store};

pub(crate) fn run(args: PruneArgs) -> Result<(), Failure> {
    let PruneArgs { max_size, older_than, all, store } = args;
    if max_size.is_none() && older_than.is_none() && !all {
        return Err(Failure::usage("prune needs a limit")
            .hint("give --max-size 10g, --older-than 7d, or --all"));
    }
    let options = PruneOptions {
        max_size: max_size.as_deref().map(size).transpose().map_err(Failure::usage)?,
        older_than: older_than.as_deref().map(age).transpose().map_err(Failure::usage)?,
        all,
    };
    let uid = rustix::process::getuid().as_raw();
    // Folders that a single-id build left are removed as the user namespace's root.
    let _privilege = crate::commands::build::enter(None, false)?;
    let store = Store::open(&environment::store(store.store, uid))?;
    let now = u64::try_from(crate::clock::now()).unwrap_or(0);
    let report = store.prune(&options, now)?;
    say::data(&format!("removed {} items, {}", report.removed.len(), people(report.freed)));
    Ok(())
}
