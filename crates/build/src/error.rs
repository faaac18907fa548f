//! What goes wrong in a build.

use crate::copy::CopyError;
use strake_diag::Span;
use strake_oci::Digest;

/// A step, or the start of a stage, failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// At an instruction.
    #[error("{error}")]
    Step {
        /// Where the instruction is.
        span: Span,
        /// The stage, as progress names it.
        stage: String,
        /// The instruction on one line.
        text: String,
        /// Why.
        #[source]
        error: Box<StepError>,
    },
    /// Ended from outside.
    #[error("the build was cancelled")]
    Cancelled,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The process of a RUN did not exit with 0.
    #[error("process \"{command}\" did not complete successfully: {status}")]
    Exit {
        /// The command.
        command: String,
        /// `exit code: 1` or `signal: 9`.
        status: String,
        /// The code to give on, 128 and more for signals.
        code: i32,
        /// The last lines it wrote.
        tail: Vec<u8>,
    },
    /// A blob that should be in the store is not.
    #[error("blob {digest} is not in the store any more")]
    BlobMissing {
        /// The blob.
        digest: Digest,
    },
    /// Known, but not yet there.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What works instead.
        instead: &'static str,
    },
    /// The sandbox cannot run anything here.
    #[error("RUN cannot work here: {why}")]
    NoSandbox {
        /// What the kernel refused.
        why: String,
    },
    /// A secret was required and not given.
    #[error("secret `{id}` is required and was not given")]
    SecretMissing {
        /// Its id.
        id: String,
    },
    /// There is no context to copy from.
    #[error("there is no build context `{name}`")]
    NoContext {
        /// Its name.
        name: String,
    },
    /// Somebody else's failure ended this step.
    #[error("stopped because another step failed")]
    Stopped,
    /// A COPY or ADD.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] strake_cache::StoreError),
    /// The registry or a layout.
    #[error(transparent)]
    Registry(#[from] strake_registry::Error),
    /// Something from elsewhere.
    #[error(transparent)]
    Remote(#[from] strake_remote::RemoteError),
    /// Packing a layer.
    #[error(transparent)]
    Pack(#[from] strake_layer::PackError),
    /// Unpacking a layer.
    #[error(transparent)]
    Unpack(#[from] strake_layer::UnpackError),
    /// A path that cannot be followed.
    #[error(transparent)]
    Resolve(#[from] strake_layer::ResolveError),
    /// The root file system.
    #[error(transparent)]
    Root(#[from] strake_rootfs::RootError),
    /// USER or --chown.
    #[error(transparent)]
    User(#[from] strake_rootfs::UserError),
    /// The sandbox.
    #[error(transparent)]
    Run(#[from] strake_sandbox::RunError),
    /// A file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl StepError {
    /// What to do about it, where something is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            StepError::Unsupported { instead, .. } => Some((*instead).to_owned()),
            StepError::SecretMissing { id } => {
                Some(format!("give it with --secret id={id},src=FILE or --secret id={id},env=NAME"))
            }
            StepError::NoSandbox { .. } => Some(
                "COPY-only images build without a sandbox; for RUN allow user namespaces or run \
                 as root with CAP_SYS_ADMIN"
                    .to_owned(),
            ),
            StepError::BlobMissing { .. } => {
                Some("build again; `strake prune` may have run in between".to_owned())
            }
            StepError::Copy(error) => error.hint(),
            StepError::Registry(error) => error.hint(),
            StepError::Remote(error) => error.hint(),
            StepError::Store(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}
