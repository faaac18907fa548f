//! `strake diff`.

use crate::{
    args::DiffArgs,
    failure::Failure,
    images::{Images, store_folder},
    registries, say,
};
use serde_json::json;
use std::process::ExitCode;
use strake_diff::{Difference, Options, compare};
use strake_oci::Platform;

/// Exit code 0 for alike, 1 for different; what cannot be read is 2.
pub(crate) fn run(args: DiffArgs) -> Result<ExitCode, Failure> {
    differences(args).map_err(|it| Failure { code: 2, ..it })
}

fn differences(args: DiffArgs) -> Result<ExitCode, Failure> {
    let DiffArgs { a, b, format, times, layers, ignore, platform, registry, store } = args;
    let platform = platform.map_or_else(|| Ok(Platform::host()), |it| it.parse())?;
    let client = registries::client(&registry, None)?;
    let store = store_folder(store.store);
    let images = Images { store: &store, client: &client, platform: &platform };
    let (a, b) = (images.read(&a)?, images.read(&b)?);
    let found = compare(&a, &b, &Options { times, layers, ignore });
    match format.as_str() {
        "json" => say::data(&format!("{:#}", document(&found))),
        _ => found.iter().for_each(|it| say::data(&it.to_string())),
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn document(found: &[Difference]) -> serde_json::Value {
    let differences = found.iter().map(|Difference { at, fact, left, right }| {
        json!({ "at": at, "fact": fact, "a": left, "b": right })
    });
    json!({ "equal": found.is_empty(), "differences": differences.collect::<Vec<_>>() })
}
