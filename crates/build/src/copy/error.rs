//! What goes wrong in a COPY.

use strake_context::ContextError;
use strake_layer::{ResolveError, UnpackError};

/// A COPY or ADD cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A source is not there.
    #[error("`{path}` is not in {place}{}", .followed.as_ref().map_or(String::new(), |to| format!(" (a link to `{to}`)")))]
    NotFound {
        /// As written.
        path: String,
        /// What a symbolic link led to.
        followed: Option<String>,
        /// The build context or the stage.
        place: &'static str,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A directory would replace something else.
    #[error("cannot copy directory `{from}` over `/{to}`, which is not a directory")]
    DirectoryOverFile {
        /// In the source.
        from: String,
        /// In the image.
        to: String,
    },
    /// A file would replace a directory.
    #[error("cannot copy `{from}` over the directory `/{to}`")]
    FileOverDirectory {
        /// In the source.
        from: String,
        /// In the image.
        to: String,
    },
    /// A directory has to be made below something that is none.
    #[error("`/{path}` is not a directory")]
    NotADirectory {
        /// In the image.
        path: String,
    },
    /// A wildcard or `--exclude` is malformed.
    #[error("syntax error in pattern `{pattern}`")]
    BadPattern {
        /// As written.
        pattern: String,
    },
    /// `--chmod` is malformed.
    #[error("`{written}` is not a mode")]
    BadMode {
        /// As written.
        written: String,
    },
    /// A path goes in a circle.
    #[error("too many symbolic links in `{path}`")]
    LinkLoop {
        /// As asked for.
        path: String,
    },
    /// The context cannot be read.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The caller gave fewer fetched sources than there are.
    #[error("a source from elsewhere was not fetched")]
    NotFetched,
    /// An archive cannot be taken apart.
    #[error("cannot unpack `{path}`")]
    Archive {
        /// As written.
        path: String,
        /// Why.
        source: UnpackError,
    },
    /// An archive's entry cannot be placed.
    #[error("the archive's entry `{entry}` cannot be unpacked: {why}")]
    ArchiveEntry {
        /// As the archive has it.
        entry: String,
        /// Why.
        why: &'static str,
    },
    /// A source file cannot be opened.
    #[error("cannot read the copied files")]
    Read(#[from] std::io::Error),
    /// The caller gave no folder for a layer of the stage that is copied from.
    #[error("the files of layer {layer} are not at hand")]
    NoFolder {
        /// Index of the layer.
        layer: usize,
    },
}

impl CopyError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            CopyError::NotFound { hint, .. } => hint.clone(),
            CopyError::BadMode { .. } => {
                Some("--chmod takes an octal mode like 0755, or words like u=rwX,go=rX".to_owned())
            }
            _ => None,
        }
    }
}

impl From<ResolveError> for CopyError {
    fn from(error: ResolveError) -> CopyError {
        let ResolveError::Loop { path } = error;
        CopyError::LinkLoop { path: path.to_string() }
    }
}
