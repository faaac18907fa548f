//! Whether the bytes that come out are the same, however they were made.

use super::{round::Bench, trees, workloads::Kind};
use crate::shell::{output, say};
use fs_err as fs;
use std::path::Path;

/// A line for each way of building one context, with the digest of the archive.
pub(super) fn lines(bench: &Bench, divide: u64) -> Result<Vec<String>, String> {
    let context = bench.folder.join("context");
    let failed = |error: std::io::Error| error.to_string();
    trees::make(&context, Kind::Files, 88_000 / divide).map_err(failed)?;
    // A folder that a COPY makes has the time of the build, as in Docker: the root is not made.
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY . /\n").map_err(failed)?;
    let mut lines = Vec::new();
    for compression in ["gzip", "zstd", "estargz", "uncompressed"] {
        let mut digests = Vec::new();
        let mut note = |how: &str, digest: String| {
            say(&format!("{compression}, {how}: {digest}"));
            digests.push(digest);
        };
        for threads in ["1", "2", "4", "16"] {
            let _ = fs::remove_dir_all(bench.folder.join("store"));
            note(
                &format!("cold, {threads} threads"),
                build(bench, &context, compression, threads)?,
            );
        }
        note("warm", build(bench, &context, compression, "2")?);
        let undo = trees::change_with_undo(&context).map_err(failed)?;
        let changed = build(bench, &context, compression, "2")?;
        undo().map_err(failed)?;
        note("changed and changed back", build(bench, &context, compression, "2")?);
        let _ = fs::remove_dir_all(bench.folder.join("store"));
        let same = digests.iter().all(|it| *it == digests[0]) && changed != digests[0];
        let verdict = if same { "yes" } else { "**no**" };
        lines.push(format!("| {compression} | {} | {verdict} |", digests[0]));
    }
    fs::remove_dir_all(&context).map_err(failed)?;
    Ok(lines)
}

fn build(
    bench: &Bench,
    context: &Path,
    compression: &str,
    threads: &str,
) -> Result<String, String> {
    let (strake, store) = (bench.strake.to_string_lossy(), bench.path("store"));
    let out = bench.path("strake.tar");
    let dest = format!("type=oci,dest={out},compression={compression}");
    let context = context.to_string_lossy();
    let words = [&*strake, "build", "--store", &store, "--threads", threads, "-o", &dest, &context];
    bench.meter.run(&words, &[("SOURCE_DATE_EPOCH", "1000000000")])?;
    let sum = output("sha256sum", &[&out])?;
    fs::remove_file(&out).map_err(|error| error.to_string())?;
    Ok(sum.split_whitespace().next().unwrap_or_default().to_owned())
}
