//! `strake du`: what the store holds.

use crate::{args::DuArgs, environment, failure::Failure, say, units::people};
use std::collections::BTreeMap;
use strake_cache::{Store, UsageKind};

pub(crate) fn run(args: DuArgs) -> Result<(), Failure> {
    let DuArgs { json, verbose, store } = args;
    let uid = rustix::process::getuid().as_raw();
    let store = Store::open(&environment::store(store.store, uid))?;
    let items = store.usage()?;
    if json {
        for item in &items {
            let object = serde_json::json!({
                "kind": kind(item.kind),
                "id": item.id,
                "size": item.size,
                "last_used": item.last_used,
                "in_use": item.in_use,
                "description": item.description,
            });
            say::data(&object.to_string());
        }
        return Ok(());
    }
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for item in &items {
        if verbose {
            say::data(&format!("{:<10} {:>10}  {}", kind(item.kind), people(item.size), item.id));
        }
        let sum = sums.entry(kind(item.kind).to_owned()).or_default();
        *sum = (sum.0 + 1, sum.1 + item.size);
    }
    for (kind, (count, size)) in &sums {
        say::data(&format!("{kind:<10} {count:>6} {:>10}", people(*size)));
    }
    let total: u64 = sums.values().map(|it| it.1).sum();
    say::data(&format!("{:<10} {:>6} {:>10}", "total", items.len(), people(total)));
    Ok(())
}

/// One word for a kind of item.
fn kind(kind: UsageKind) -> &'static str {
    match kind {
        UsageKind::Snapshot => "snapshot",
        UsageKind::Mount => "cache",
        UsageKind::Repository => "git",
        UsageKind::Blob => "blob",
        UsageKind::Index => "index",
        UsageKind::Step => "step",
        UsageKind::Record => "record",
    }
}
