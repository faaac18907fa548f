//! The entries of a layer, by number.

use crate::{ExportError, ImageLayer};
use fs_err::File;
use std::io::Read;
use strake_layer::{Asked, UnpackError};

/// Calls `visit` with each entry of the layer, its number and its content.
pub(crate) fn for_each_entry(
    layer: &ImageLayer,
    mut visit: impl FnMut(usize, Asked, &mut dyn Read) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut number = 0;
    let read = strake_layer::each_change(File::open(&layer.blob)?, |asked, content| {
        visit(number, asked, content)?;
        number += 1;
        Ok(())
    });
    read.map_err(|ended| match ended {
        Ended::Layer(source) => {
            ExportError::LayerUnreadable { digest: layer.descriptor.digest, source }
        }
        Ended::Visit(error) => error,
    })
}

/// What ended the reading before its end.
enum Ended {
    Layer(UnpackError),
    Visit(ExportError),
}

impl From<UnpackError> for Ended {
    fn from(error: UnpackError) -> Ended {
        Ended::Layer(error)
    }
}

impl From<ExportError> for Ended {
    fn from(error: ExportError) -> Ended {
        Ended::Visit(error)
    }
}
