//! Sources that are not of the context, as they were fetched.

use super::{
    select::Picked,
    source::{Found, Origin},
};
use std::{collections::BTreeMap, sync::Arc};
use strake_layer::{Entry, Kind};
use strake_remote::HttpFile;

/// Mode of a file that a web server sent, as in BuildKit.
const HTTP_MODE: u32 = 0o600;

/// A source of an ADD that was fetched.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// A file of a web server.
    File(HttpFile),
}

impl Fetched {
    pub(super) fn picked(&self) -> Picked {
        match self {
            Fetched::File(file) => http(file),
        }
    }
}

fn http(file: &HttpFile) -> Picked {
    let HttpFile { path, digest, size, name, mtime } = file;
    let found = Found {
        entry: Entry {
            path: name.clone(),
            kind: Kind::File { size: *size },
            mode: HTTP_MODE,
            uid: 0,
            gid: 0,
            mtime: *mtime,
            xattrs: BTreeMap::new(),
        },
        content: None,
        origin: match size {
            0 => Origin::Nothing,
            _ => Origin::Path(Arc::new(path.clone())),
        },
        group: None,
        on_disk: None,
    };
    Picked {
        name: name.clone(),
        base: name.clone(),
        entries: vec![found],
        archive: None,
        fresh: false,
        pinned: Some(format!("{digest} of {mtime}")),
    }
}
