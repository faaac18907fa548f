//! What goes wrong in a build.

use crate::{DeviceError, copy::CopyError, foreign::how_to_install, program::ProgramError};
use strake_diag::Span;
use strake_oci::{DiffId, Digest, Platform};
use strake_sandbox::RunError;

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
        /// `exit code: 1` or `exit code: 137 (signal: 9)`.
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
    /// A layer's blob holds another tar than the config of its image says.
    #[error("layer {found} stands where the image's config says {expected}")]
    OtherDiffId {
        /// What the config says.
        expected: DiffId,
        /// What the blob holds.
        found: DiffId,
    },
    /// Manifest and config of a base do not belong together.
    #[error("the manifest of {image} has {layers} layers, and its config has {diff_ids}")]
    DamagedBase {
        /// As FROM has it.
        image: String,
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the config.
        diff_ids: usize,
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
    /// An agent was required and not given.
    #[error("ssh agent `{id}` is required and was not given")]
    SshMissing {
        /// Its id.
        id: String,
    },
    /// Something that a RUN asks for and that `--allow` has to grant.
    #[error("{what} is not allowed")]
    NotAllowed {
        /// What the RUN asks for.
        what: &'static str,
        /// What `--allow` takes for it.
        entitlement: &'static str,
    },
    /// Programs of another processor, and nothing that runs them.
    #[error("{platform} programs cannot run on this {host} machine: {why}")]
    Foreign {
        /// The stage's platform.
        platform: Box<Platform>,
        /// This machine's.
        host: Box<Platform>,
        /// What is missing.
        why: String,
    },
    /// The program of a RUN could not be started.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// `RUN --device`.
    #[error(transparent)]
    Device(#[from] DeviceError),
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
            StepError::DamagedBase { .. } => {
                Some("the image is damaged: push it anew, or use another one".to_owned())
            }
            StepError::SecretMissing { id } => {
                Some(format!("give it with --secret id={id},src=FILE or --secret id={id},env=NAME"))
            }
            StepError::SshMissing { id } => Some(format!(
                "give it with --ssh {id} (the agent of SSH_AUTH_SOCK) or --ssh {id}=SOCKET|KEY"
            )),
            StepError::NotAllowed { entitlement, .. } => {
                Some(format!("build with --allow {entitlement}"))
            }
            StepError::Foreign { platform, .. } => Some(how_to_install(&platform.architecture)),
            StepError::Program(error) => error.hint(),
            StepError::Device(error) => error.hint(),
            StepError::Run(RunError::SetUp { step, cause })
                if step.starts_with("ulimit ")
                    && cause.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Some(
                    "only root can raise a hard limit: ask for no more than `ulimit -H` shows, or \
                     run strake as root"
                        .to_owned(),
                )
            }
            StepError::Run(RunError::Killed) => Some(
                "the kernel does that for want of memory: look into its log, and give more \
                 --memory if that was given"
                    .to_owned(),
            ),
            // EINVAL, ERANGE
            StepError::Run(RunError::SetUp { step, cause })
                if step.starts_with("cgroup: ")
                    && matches!(cause.raw_os_error(), Some(22 | 34)) =>
            {
                Some("the kernel does not take this value: see cgroups(7)".to_owned())
            }
            StepError::Run(RunError::SetUp { step, .. }) if step.starts_with("cgroup: ") => Some(
                "limits need control groups of one's own: start strake as root, or by `systemd-run \
                 --user --scope -p Delegate=yes strake ..`; or limit strake itself, e.g. with -p \
                 MemoryMax=2g"
                    .to_owned(),
            ),
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
