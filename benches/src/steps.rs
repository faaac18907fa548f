//! Dockerfiles, keys and the store.

use std::{fmt::Write as _, hint::black_box};
use strake_cache::{LayerRecord, StepResult, Store};
use strake_diag::Source;
use strake_dockerfile::Request;
use strake_layer::Compression;
use strake_oci::{Descriptor, DiffId, Digest, Platform, media_type};
use strake_plan::{ContentId, KeyRecord, StepKey};

/// A thousand lines, in ten stages.
fn source() -> Source {
    let mut text = String::from("# syntax=docker/dockerfile:1\nARG VERSION=1\n");
    for stage in 0..10 {
        writeln!(text, "FROM scratch AS s{stage}\nARG VERSION").expect(WRITES);
        for at in 0..24 {
            write!(
                text,
                "ENV NAME_{at}=\"value ${{VERSION:-{at}}}\"\nLABEL key.{at}=$NAME_{at}\n\
                 RUN --mount=type=cache,target=/c{at} echo {at} && \\\n    true\n"
            )
            .expect(WRITES);
        }
    }
    Source::new("Dockerfile", text)
}

const WRITES: &str = "writing to a string";

pub(crate) fn parse() -> Box<dyn FnMut()> {
    let source = source();
    Box::new(move || {
        black_box(strake_dockerfile::parse(&source));
    })
}

pub(crate) fn plan() -> Box<dyn FnMut()> {
    let (file, _) = strake_dockerfile::parse(&source());
    let platform = Platform::host;
    let request = Request { target: Some("s9".to_owned()), ..Request::new(platform(), platform()) };
    Box::new(move || {
        black_box(strake_dockerfile::plan(&file, &request).expect("a plan"));
    })
}

/// Of a COPY of four thousand files.
pub(crate) fn key() -> Box<dyn FnMut()> {
    let field = |at: usize| (crate::data::path(at), Digest::of(&at.to_le_bytes()).hex());
    let record = KeyRecord { fields: (0..4000).map(field).collect() };
    Box::new(move || {
        black_box(record.key());
    })
}

/// Fifty steps with their layers.
pub(crate) fn look_up() -> Box<dyn FnMut()> {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(&dir.path().join("store")).expect("a store");
    let keys: Vec<StepKey> = (0..50).map(|at| add(&store, at)).collect();
    Box::new(move || {
        assert!(dir.path().exists());
        for key in &keys {
            black_box(store.step(key).expect("it was put in"));
        }
    })
}

fn add(store: &Store, at: usize) -> StepKey {
    let text = format!("layer {at}");
    let digest = store.write_blob(text.as_bytes()).expect("a blob");
    let layer = LayerRecord {
        diff_id: DiffId(Digest::of(format!("tar of {text}").as_bytes())),
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, text.len() as u64),
        compression: Compression::Gzip(5),
        content: ContentId(Digest::of(text.as_bytes())),
        created: 1,
    };
    store.insert_layer(&layer).expect("a layer");
    let record = KeyRecord { fields: vec![("run.argv".to_owned(), text)] };
    let key = record.key();
    let (layer, content) = (Some(layer.diff_id), Some(layer.content));
    store.insert_step(&key, &StepResult { layer, content, record, millis: 7 }).expect("a step");
    key
}
