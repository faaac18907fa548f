//! The images that the projects are built from.

use super::page::Page;
use crate::shell::{root, run, say};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What the Dockerfiles of the projects say, and the stage of `testdata/lint/bases` that it is here.
const IMAGES: &[(&str, &str)] = &[
    ("alpine:latest", "alpine"),
    ("composer:latest", "php"),
    ("debian:12", "debian"),
    ("debian:12-slim", "debian"),
    ("debian:stable", "debian"),
    ("eclipse-temurin:21", "debian"),
    ("golang:1.22", "go"),
    ("maven:3.9-eclipse-temurin-21", "java"),
    ("mcr.microsoft.com/dotnet/aspnet:8.0", "debian"),
    ("mcr.microsoft.com/dotnet/sdk:8.0", "dotnet"),
    ("nginx", "debian"),
    ("node:20", "node"),
    ("node:20-alpine", "node"),
    ("node:22", "node"),
    ("php:8.3-fpm", "php"),
    ("python:3.11", "python"),
    ("python:3.12", "python"),
    ("python:3.12-slim", "python"),
    ("ruby:3.3", "ruby"),
    ("rust:1.80", "rust"),
    ("ubuntu:14.04", "old"),
];

/// Where they are.
pub(super) struct Bases {
    folder: PathBuf,
}

impl Bases {
    /// Builds with strake what the pages need and is not there.
    pub(super) fn make(
        strake: &Path,
        raw: &Path,
        scratch: &Path,
        pages: &[Page],
    ) -> Result<Bases, String> {
        let folder = scratch.join("bases");
        let needed: BTreeSet<&str> = pages.iter().flat_map(used).map(|it| it.1).collect();
        let missing: Vec<&str> =
            needed.into_iter().filter(|it| !folder.join(it).join("index.json").exists()).collect();
        if missing.is_empty() {
            return Ok(Bases { folder });
        }
        say("== bases");
        // What is there already is kept.
        let script = root().join("testdata/bases/make.sh").to_string_lossy().into_owned();
        run(&script, &[text(raw), "debian".to_owned(), "node20".to_owned()])?;
        fs::create_dir_all(&folder).map_err(|it| it.to_string())?;
        for stage in missing {
            let layout = |name: &str, dir: &str, tag: &str| {
                format!("{name}=oci-layout://{}:{tag}", text(&raw.join(dir)))
            };
            let args = [
                "build".to_owned(),
                format!("--store={}", text(&scratch.join("store-of-bases"))),
                format!("--target={stage}"),
                "--build-context".to_owned(),
                layout("debian:bookworm-slim", "debian", "bookworm-slim"),
                "--build-context".to_owned(),
                layout("node:20-alpine", "node20", "20-alpine"),
                format!("--output=type=oci,tar=false,dest={}", text(&folder.join(stage))),
                format!("--tag={stage}:base"),
                "testdata/lint/bases".to_owned(),
            ];
            run(&text(strake), &args)?;
        }
        Ok(Bases { folder })
    }

    /// Flags that put these images in the place of those that the page's Dockerfile names.
    pub(super) fn flags(&self, page: &Page) -> Vec<String> {
        let flag = |(image, stage): &(&str, &str)| {
            let layout = self.folder.join(stage);
            ["--build-context".to_owned(), format!("{image}=oci-layout://{}:base", text(&layout))]
        };
        used(page).iter().flat_map(flag).collect()
    }
}

/// The images that a Dockerfile names.
fn used(page: &Page) -> Vec<(&'static str, &'static str)> {
    let words: BTreeSet<&str> = page
        .dockerfile
        .split_whitespace()
        .map(|it| it.strip_prefix("--from=").unwrap_or(it))
        .collect();
    IMAGES.iter().filter(|it| words.contains(it.0)).copied().collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
