//! The entries of a layer's tar, made safe to follow.

use crate::{
    ExportError, ImageLayer,
    tar_blocks::{Blocks, Header},
};
use fs_err::File;
use std::io::{self, Read};
use strake_layer::{Entry, Kind};

/// What an entry of a layer asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Put this there.
    Put(Entry),
    /// Take away what lower layers have at the path.
    Whiteout(Vec<u8>),
    /// Take away what lower layers have below the path.
    Opaque(Vec<u8>),
    /// Nothing: the root itself, a global header, a foreign tool's note.
    Nothing,
}

/// Calls `visit` with each entry of the layer, its number and its content.
pub(crate) fn for_each_entry(
    layer: &ImageLayer,
    mut visit: impl FnMut(usize, Asked, &mut dyn Read) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let digest = layer.descriptor.digest;
    let unreadable = |source| ExportError::LayerUnreadable { digest, source };
    let file = File::open(&layer.blob)?;
    let plain = strake_layer::decompress(file).map_err(unreadable)?;
    let mut blocks = Blocks::new(plain);
    let mut number = 0;
    while let Some(header) = blocks.next().map_err(unreadable)? {
        let refused = |why| ExportError::EntryRefused {
            digest,
            entry: header.path.escape_ascii().to_string(),
            why,
        };
        visit(number, asked(&header).map_err(refused)?, &mut blocks)?;
        number += 1;
    }
    Ok(())
}

fn asked(header: &Header) -> Result<Asked, &'static str> {
    let path = clean(&header.path).ok_or("it climbs out of the root")?;
    if header.block.entry_type() == tar::EntryType::XGlobalHeader {
        return Ok(Asked::Nothing);
    }
    let (parent, name) = split(&path);
    if let Some(hidden) = name.strip_prefix(b".wh.") {
        return match hidden {
            b".wh..opq" => Ok(Asked::Opaque(parent.to_vec())),
            it if it.starts_with(b".wh.") => Ok(Asked::Nothing),
            b"" | b"." | b".." => Err("a whiteout needs a name"),
            it => Ok(Asked::Whiteout(join(parent, it))),
        };
    }
    if path.is_empty() {
        return Ok(Asked::Nothing);
    }
    let Header { block, path: _, link: _, size: _, pax } = header;
    let xattr = |(key, value): (&Vec<u8>, &Vec<u8>)| {
        Some((key.strip_prefix(b"SCHILY.xattr.")?.to_vec(), value.clone()))
    };
    Ok(Asked::Put(Entry {
        kind: kind(header)?,
        mode: block.mode().map_err(|_| "its mode is not a number")? & 0o7777,
        uid: owner(header, b"uid", block.uid())?,
        gid: owner(header, b"gid", block.gid())?,
        mtime: mtime(header),
        xattrs: pax.iter().filter_map(xattr).collect(),
        path,
    }))
}

fn kind(header: &Header) -> Result<Kind, &'static str> {
    use tar::EntryType;
    let device = || {
        let number = |it: io::Result<Option<u32>>| it.ok().flatten();
        let (major, minor) = (header.block.device_major(), header.block.device_minor());
        number(major).zip(number(minor)).ok_or("its device number cannot be read")
    };
    Ok(match header.block.entry_type() {
        // Before POSIX, a directory was a file whose name ends in a slash.
        EntryType::Regular if header.path.ends_with(b"/") => Kind::Directory { opaque: false },
        EntryType::Regular | EntryType::Continuous => Kind::File { size: header.size },
        EntryType::Directory => Kind::Directory { opaque: false },
        EntryType::Symlink => Kind::Symlink { target: header.link.clone() },
        EntryType::Link => {
            let target = clean(&header.link).ok_or("it links to something out of the root")?;
            Kind::Hardlink { target }
        }
        EntryType::Char => device().map(|(major, minor)| Kind::Character { major, minor })?,
        EntryType::Block => device().map(|(major, minor)| Kind::Block { major, minor })?,
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => return Err("it is a sparse file in the form of old GNU tars"),
        _ => return Err("its type is not known"),
    })
}

fn owner(header: &Header, key: &[u8], field: io::Result<u64>) -> Result<u32, &'static str> {
    let number = match header.pax.get(key) {
        Some(text) => std::str::from_utf8(text).ok().and_then(|it| it.parse().ok()),
        None => field.ok(),
    };
    number.and_then(|it: u64| u32::try_from(it).ok()).ok_or("its owner is not a 32-bit number")
}

/// Whole seconds; a fraction is cut off.
fn mtime(header: &Header) -> i64 {
    let written = header.pax.get(b"mtime".as_slice()).and_then(|it| std::str::from_utf8(it).ok());
    let seconds = written.and_then(|it| it.split('.').next()?.parse().ok());
    seconds.unwrap_or_else(|| i64::try_from(header.block.mtime().unwrap_or(0)).unwrap_or(0))
}

/// The path without leading `/` and `./`, without empty components; `None` if it has a `..`.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    for part in path.split(|it| *it == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// Parent and last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|it| *it == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// `name` in `parent`.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths_are_relative_and_stay_inside() {
        for (path, want) in
            [("/a//b/", "a/b"), ("./a/./b", "a/b"), ("", ""), ("./", ""), ("a/..b", "a/..b")]
        {
            assert_eq!(clean(path.as_bytes()), Some(want.as_bytes().to_vec()), "{path}");
        }
        for path in ["..", "a/../b", "/../a"] {
            assert_eq!(clean(path.as_bytes()), None, "{path}");
        }
    }
}
