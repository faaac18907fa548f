//! The merged view of an image's layers, and which entry of which layer each file comes from.
//!
//! Paths in the result have directories for parents, never links: what a layer puts below a symlink
//! is followed inside the root, as containerd does when it applies a layer.

use crate::{ExportError, ImageLayer, read_tar::for_each_entry};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strake_layer::{Asked, Entry, Kind, join, split};

/// The `number`th entry of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) layer: usize,
    pub(crate) number: usize,
}

/// What stands at a path.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Type and metadata; of a hard link, those of the file it leads to.
    pub(crate) entry: Entry,
    /// Where the content is. Equal places are hard links to each other. `None` for a directory that
    /// no layer mentions.
    pub(crate) place: Option<Place>,
    /// The layer that put it there.
    layer: usize,
}

/// All paths of an image, in byte order.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) nodes: BTreeMap<Vec<u8>, Node>,
}

impl Merged {
    /// Reads the headers of all layers and puts them on top of each other.
    pub(crate) fn read(layers: &[ImageLayer]) -> Result<Merged, ExportError> {
        let headers: Vec<_> = layers.par_iter().map(headers).collect::<Result<_, _>>()?;
        let mut merged = Merged::default();
        for (layer, asked) in headers.into_iter().enumerate() {
            merged.apply(layer, asked).map_err(|Refused { path, why }| {
                let digest = layers[layer].descriptor.digest;
                ExportError::EntryRefused { digest, entry: path.escape_ascii().to_string(), why }
            })?;
        }
        Ok(merged)
    }

    fn apply(&mut self, layer: usize, headers: Vec<(usize, Asked)>) -> Result<(), Refused> {
        for (number, asked) in headers {
            match asked {
                Asked::Put(entry) => self.put(entry, Place { layer, number })?,
                Asked::Whiteout(path) => {
                    let path = self.resolve_parent(&path)?;
                    self.hide(&path, layer, true);
                }
                Asked::Opaque(path) => {
                    let path = self.resolve(&path)?;
                    self.hide(&path, layer, false);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, mut entry: Entry, place: Place) -> Result<(), Refused> {
        let path = self.resolve_parent(&entry.path)?;
        self.make_parents(&path, place.layer)?;
        let mut at = Some(place);
        if let Kind::Hardlink { target } = &entry.kind {
            let target = self.resolve_parent(target)?;
            if target == path {
                return Ok(());
            }
            let found = self.nodes.get(&target).filter(|it| !is_directory(it));
            let Some(found) = found else {
                return Err(Refused { path: entry.path, why: "its hard link leads nowhere" });
            };
            at = found.place;
            entry = found.entry.clone();
        }
        let stays =
            is_directory_kind(&entry.kind) && self.nodes.get(&path).is_some_and(is_directory);
        if !stays {
            self.remove(&path, |_| true, true);
        }
        entry.path.clone_from(&path);
        self.nodes.insert(path, Node { entry, place: at, layer: place.layer });
        Ok(())
    }

    /// Takes away what layers below `layer` put at `path` (`itself`) and below it.
    fn hide(&mut self, path: &[u8], layer: usize, itself: bool) {
        self.remove(path, |it| it.layer < layer, itself);
    }

    fn remove(&mut self, path: &[u8], which: impl Fn(&Node) -> bool, itself: bool) {
        let mut doomed: BTreeSet<Vec<u8>> = self
            .below(path)
            .filter(|(_, node)| which(node))
            .map(|(path, _)| path.clone())
            .collect();
        if itself && self.nodes.get(path).is_some_and(which) {
            doomed.insert(path.to_vec());
        }
        // A directory stays as long as something is in it.
        for path in doomed.into_iter().rev() {
            if self.below(&path).next().is_none() {
                self.nodes.remove(&path);
            }
        }
    }

    fn below(&self, path: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        let (from, to) = match path {
            b"" => (Vec::new(), None),
            // `0` is the byte after `/`.
            _ => ([path, b"/"].concat(), Some([path, b"0"].concat())),
        };
        let range = self.nodes.range(from..);
        range.take_while(move |(path, _)| to.as_ref().is_none_or(|to| *path < to))
    }

    fn make_parents(&mut self, path: &[u8], layer: usize) -> Result<(), Refused> {
        let (parent, _) = split(path);
        if parent.is_empty() {
            return Ok(());
        }
        match self.nodes.get(parent) {
            Some(node) if is_directory(node) => return Ok(()),
            Some(_) => {
                return Err(Refused { path: path.to_vec(), why: "its parent is no directory" });
            }
            None => {}
        }
        self.make_parents(parent, layer)?;
        let entry = Entry {
            path: parent.to_vec(),
            kind: Kind::Directory { opaque: false },
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: BTreeMap::new(),
        };
        self.nodes.insert(parent.to_vec(), Node { entry, place: None, layer });
        Ok(())
    }

    /// The path with links followed in all but its last component.
    fn resolve_parent(&self, path: &[u8]) -> Result<Vec<u8>, Refused> {
        let (parent, name) = split(path);
        match self.nodes.get(parent) {
            Some(node) if is_directory(node) => Ok(path.to_vec()),
            _ => Ok(join(&self.resolve(parent)?, name)),
        }
    }

    /// The path with all links followed inside the root. What does not exist is kept as written.
    fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, Refused> {
        const MAX_LINKS: usize = 255;
        let mut links = 0;
        let mut done: Vec<u8> = Vec::new();
        let mut todo: Vec<Vec<u8>> = components(path);
        while let Some(part) = todo.pop() {
            if part == b".." {
                done = split(&done).0.to_vec();
                continue;
            }
            let next = join(&done, &part);
            match self.nodes.get(&next).map(|it| &it.entry.kind) {
                Some(Kind::Symlink { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        let why = "its parent is a loop of links";
                        return Err(Refused { path: path.to_vec(), why });
                    }
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    todo.extend(components(target));
                }
                _ => done = next,
            }
        }
        Ok(done)
    }
}

/// An entry that cannot be put where it says.
struct Refused {
    path: Vec<u8>,
    why: &'static str,
}

fn headers(layer: &ImageLayer) -> Result<Vec<(usize, Asked)>, ExportError> {
    let mut headers = Vec::new();
    for_each_entry(layer, |number, asked, _| {
        headers.push((number, asked));
        Ok(())
    })?;
    Ok(headers)
}

/// The components, last first, without the empty ones.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|it| *it == b'/').filter(|it| !it.is_empty() && *it != b".");
    let mut parts: Vec<_> = parts.map(<[u8]>::to_vec).collect();
    parts.reverse();
    parts
}

fn is_directory(node: &Node) -> bool {
    is_directory_kind(&node.entry.kind)
}

fn is_directory_kind(kind: &Kind) -> bool {
    matches!(kind, Kind::Directory { opaque: _ })
}

#[cfg(test)]
mod tests {
    use super::{Asked, Merged};
    use std::collections::BTreeMap;
    use strake_layer::{Entry, Kind};

    fn put(path: &str, kind: Kind) -> Asked {
        let path = path.as_bytes().to_vec();
        Asked::Put(Entry { path, kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() })
    }
    fn dir(path: &str) -> Asked {
        put(path, Kind::Directory { opaque: false })
    }
    fn file(path: &str) -> Asked {
        put(path, Kind::File { size: 1 })
    }
    fn symlink(path: &str, target: &str) -> Asked {
        put(path, Kind::Symlink { target: target.into() })
    }
    fn hardlink(path: &str, target: &str) -> Asked {
        put(path, Kind::Hardlink { target: target.into() })
    }

    /// Each path with the layer and number of what stands there.
    fn check(layers: Vec<Vec<Asked>>, want: &[&str]) {
        let mut merged = Merged::default();
        for (layer, asked) in layers.into_iter().enumerate() {
            assert!(merged.apply(layer, asked.into_iter().enumerate().collect()).is_ok());
        }
        let show = |(path, node): (&Vec<u8>, &super::Node)| {
            let path = String::from_utf8_lossy(path).into_owned();
            let place = node.place.map(|it| format!(" {}:{}", it.layer, it.number));
            path + place.as_deref().unwrap_or(" -")
        };
        assert_eq!(merged.nodes.iter().map(show).collect::<Vec<_>>(), want);
    }

    #[test]
    fn whiteouts_reach_lower_layers_only() {
        check(
            vec![
                vec![dir("a"), file("a/x"), file("b"), dir("c"), file("c/d")],
                vec![file("a/y"), Asked::Whiteout("b".into()), Asked::Whiteout("a".into())],
                vec![file("c/e"), Asked::Opaque("c".into())],
            ],
            &["a 0:0", "a/y 1:0", "c 0:3", "c/e 2:0"],
        );
    }

    #[test]
    fn what_lies_below_a_link_is_put_where_it_leads() {
        check(
            vec![
                vec![dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib")],
                vec![file("lib/a"), symlink("up", "../../usr"), file("up/b")],
            ],
            &["lib 0:2", "up 1:1", "usr 0:0", "usr/b 1:2", "usr/lib 0:1", "usr/lib/a 1:0"],
        );
    }

    #[test]
    fn a_directory_replaces_a_link_and_a_file_a_directory() {
        check(
            vec![
                vec![dir("t"), symlink("l", "t"), dir("d"), file("d/x"), file("d.x")],
                vec![dir("l"), file("l/a"), file("d")],
            ],
            &["d 1:2", "d.x 0:4", "l 1:0", "l/a 1:1", "t 0:0"],
        );
    }

    #[test]
    fn hard_links_keep_their_content() {
        check(
            vec![
                vec![file("a"), hardlink("b", "a")],
                vec![file("a"), hardlink("c", "b")],
                vec![Asked::Whiteout("b".into())],
            ],
            &["a 1:0", "c 0:0"],
        );
    }

    #[test]
    fn parents_that_nobody_mentions_are_made() {
        check(vec![vec![file("a/b/c")]], &["a -", "a/b -", "a/b/c 0:0"]);
    }

    #[test]
    fn loops_and_files_for_parents_are_refused() {
        for asked in [
            vec![symlink("a", "b"), symlink("b", "a"), file("a/x")],
            vec![file("a"), file("a/x")],
            vec![hardlink("a", "b")],
            vec![dir("b"), hardlink("a", "b")],
        ] {
            let mut merged = Merged::default();
            assert!(merged.apply(0, asked.into_iter().enumerate().collect()).is_err());
        }
    }
}
