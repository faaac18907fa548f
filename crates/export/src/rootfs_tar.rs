//! The image's files as one tar, with owners, whatever the caller may do on this machine.

use crate::{
    ExportError, Image,
    flatten::{Target, flatten},
    write_tar::{end, header, pad},
};
use std::io::{self, Read, Write};
use strake_layer::Entry;

/// Writes the files of the image as a tar: layers merged, parents before what is in them.
pub fn tar(image: &Image, sink: &mut dyn Write) -> Result<(), ExportError> {
    flatten(image, &mut TarTarget { sink })?;
    Ok(end(sink)?)
}

struct TarTarget<'a> {
    sink: &'a mut dyn Write,
}

impl Target for TarTarget<'_> {
    fn put(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), ExportError> {
        header(self.sink, entry)?;
        if io::copy(content, self.sink)? != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(pad(self.sink, size)?)
    }
}
