//! Streams the merged files of an image, one layer after the other, into a [`Target`].

use crate::{
    ExportError, Image,
    merge::{Merged, Place},
    read_tar::for_each_entry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};
use strake_layer::{Entry, Kind, split};

/// Takes the files of an image, each once, parents before what is in them.
pub(crate) trait Target {
    /// Puts one entry. Of regular files `content` gives `size` bytes; of all others both are empty.
    /// A hard link's target was put before, under that name.
    fn put(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), ExportError>;
}

/// Reads every layer twice: once for the headers, once, where anything of it is still to be seen, for
/// the contents. Memory grows with the number of paths, not with their sizes.
///
/// With an `epoch` every file has that time, as SOURCE_DATE_EPOCH means it for files that are exported.
pub(crate) fn flatten(
    image: &Image,
    epoch: Option<i64>,
    target: &mut dyn Target,
) -> Result<(), ExportError> {
    let Some(time) = epoch else { return files(image, target) };
    files(image, &mut At { time, target })
}

/// Gives all entries one time.
struct At<'a> {
    time: i64,
    target: &'a mut dyn Target,
}

impl Target for At<'_> {
    fn put(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), ExportError> {
        let entry = Entry { mtime: self.time, ..entry.clone() };
        self.target.put(&entry, size, content)
    }
}

fn files(image: &Image, target: &mut dyn Target) -> Result<(), ExportError> {
    let merged = Merged::read(&image.layers)?;
    let mut names: BTreeMap<Place, Vec<&Entry>> = BTreeMap::new();
    for node in merged.nodes.values() {
        if let Some(place) = node.place {
            names.entry(place).or_default().push(&node.entry);
        }
    }
    let mut flow = Flow { merged: &merged, put: BTreeSet::new(), target };
    for (index, layer) in image.layers.iter().enumerate() {
        let wanted = |number| Place { layer: index, number };
        if names.range(wanted(0)..=wanted(usize::MAX)).next().is_none() {
            continue;
        }
        for_each_entry(layer, |number, _, content| match names.get(&wanted(number)) {
            Some(names) => flow.names(names, content),
            None => Ok(()),
        })?;
    }
    // Directories that no layer mentions and that were emptied by a later one.
    for node in merged.nodes.values() {
        flow.directory(&node.entry)?;
    }
    Ok(())
}

struct Flow<'a> {
    merged: &'a Merged,
    /// Directories that are there.
    put: BTreeSet<&'a [u8]>,
    target: &'a mut dyn Target,
}

impl<'a> Flow<'a> {
    /// Puts the first name with the content and the others as links to it.
    fn names(&mut self, names: &[&'a Entry], content: &mut dyn Read) -> Result<(), ExportError> {
        let (first, links) = names.split_first().expect("a place has a name");
        self.parents(&first.path)?;
        match first.kind {
            Kind::Directory { .. } => self.directory(first)?,
            Kind::File { size } => self.target.put(first, size, &mut content.take(size))?,
            _ => self.target.put(first, 0, &mut io::empty())?,
        }
        for link in links {
            self.parents(&link.path)?;
            let kind = Kind::Hardlink { target: first.path.clone() };
            // Metadata and xattrs are the first name's already.
            let entry = Entry { kind, xattrs: BTreeMap::new(), ..(*link).clone() };
            self.target.put(&entry, 0, &mut io::empty())?;
        }
        Ok(())
    }

    fn parents(&mut self, path: &[u8]) -> Result<(), ExportError> {
        let (parent, _) = split(path);
        if parent.is_empty() || self.put.contains(parent) {
            return Ok(());
        }
        self.parents(parent)?;
        let node = &self.merged.nodes[parent];
        self.directory(&node.entry)
    }

    /// Puts a directory, once.
    fn directory(&mut self, entry: &'a Entry) -> Result<(), ExportError> {
        if !matches!(entry.kind, Kind::Directory { .. }) || !self.put.insert(&entry.path) {
            return Ok(());
        }
        self.target.put(entry, 0, &mut io::empty())
    }
}
