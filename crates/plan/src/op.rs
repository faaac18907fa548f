//! The four ops that all instructions lower to.

use crate::StageId;
use strake_oci::Digest;

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Runs a process in the root.
    Run(Box<RunOp>),
    /// Copies files into the root: COPY and ADD.
    Copy(Box<CopyOp>),
    /// Makes the working directory.
    Workdir(WorkdirOp),
    /// Changes only the image config; the result is in [`crate::Stage::config`]. No layer.
    Config,
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOp {
    /// The whole command, SHELL included.
    pub argv: Vec<String>,
    /// Scripts that appear below `/dev/pipes/` (heredocs with a shebang line).
    pub files: Vec<HeredocFile>,
    /// The environment: the config's ENV and the ARGs in scope. `PATH` is set by the executor
    /// where it is missing.
    pub env: Vec<(String, String)>,
    /// Proxy variables: given to the process, but neither in key nor in history.
    pub proxies: Vec<(String, String)>,
    /// Absolute.
    pub cwd: String,
    /// `user[:group]`, by name or number; empty is root.
    pub user: String,
    /// `--mount`.
    pub mounts: Vec<RunMount>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`.
    pub devices: Vec<DeviceRequest>,
}

/// `RUN --security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// The sandbox's own limits.
    Sandbox,
    /// Without them; only where the build was started with `--allow security.insecure`.
    Insecure,
}

/// `RUN --device`: a device of the Container Device Interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// `vendor.com/class=device`, `vendor.com/class` or a class annotation.
    pub name: String,
    /// Whether a missing one is an error.
    pub required: bool,
}

/// A heredoc's body that is used as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeredocFile {
    /// File name: the heredoc's delimiter.
    pub name: String,
    /// After expansion, where the delimiter was not quoted.
    pub content: String,
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The builder's network.
    Default,
    /// Loopback only.
    None,
    /// The host's network.
    Host,
}

/// `RUN --mount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMount {
    /// Absolute path inside; empty only for a secret that is an environment variable alone.
    pub target: String,
    /// What is there.
    pub kind: MountKind,
}

/// The kinds of `RUN --mount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files of a stage or context; what is written is thrown away.
    Bind {
        /// Whose files.
        from: Source,
        /// Path within.
        source: String,
        /// Whether writing is allowed.
        readwrite: bool,
    },
    /// A directory that stays between builds.
    Cache {
        /// Name; the target by default.
        id: String,
        /// What it starts from, and the path within.
        from: Option<(Source, String)>,
        /// Who may use it at once.
        sharing: CacheSharing,
        /// Mode of a new directory.
        mode: u32,
        /// Owner of a new directory.
        uid: u32,
        /// Group of a new directory.
        gid: u32,
        /// Whether writing is refused.
        readonly: bool,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
    },
    /// A secret, as a file, a variable or both.
    Secret {
        /// Name of the secret.
        id: String,
        /// Variable that holds it.
        env: Option<String>,
        /// Whether a missing one is an error.
        required: bool,
        /// Mode of the file.
        mode: u32,
        /// Owner of the file.
        uid: u32,
        /// Group of the file.
        gid: u32,
    },
    /// An SSH agent's socket.
    Ssh {
        /// Name of the agent.
        id: String,
        /// Whether a missing one is an error.
        required: bool,
        /// Mode of the socket.
        mode: u32,
        /// Owner of the socket.
        uid: u32,
        /// Group of the socket.
        gid: u32,
    },
}

/// `sharing=` of a cache mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSharing {
    /// Any number of writers.
    Shared,
    /// A second writer gets a new one.
    Private,
    /// A second writer waits.
    Locked,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The main context.
    Context,
    /// A named context that is a local directory.
    Named(String),
    /// A stage, or an image as a stage without steps.
    Stage(StageId),
}

/// COPY and ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOp {
    /// Whose files.
    pub from: Source,
    /// What, in order.
    pub sources: Vec<CopySource>,
    /// Absolute; a trailing slash is kept, for it means a directory.
    pub dest: String,
    /// `--chown`, expanded.
    pub chown: Option<String>,
    /// `--chmod`, expanded.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
    /// Which archives are unpacked.
    pub unpack: Unpack,
}

/// Which archives among the sources are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpack {
    /// None: COPY, and `ADD --unpack=false`.
    Never,
    /// Those of the context: ADD.
    Local,
    /// Fetched ones too: `ADD --unpack`.
    All,
}

/// One source of a COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// Path or wildcard, relative to the source's root.
    Path(String),
    /// A heredoc as a file.
    Heredoc(HeredocFile),
    /// A file of a web server.
    Http(HttpSource),
    /// A Git repository.
    Git(GitSource),
}

/// ADD of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSource {
    /// http or https.
    pub url: String,
    /// `--checksum`: digest that the file must have.
    pub checksum: Option<Digest>,
}

/// A Git repository, or a folder of one: ADD of it, or a context.
/// [Fragments and queries](https://docs.docker.com/build/concepts/context/#url-queries).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// The address that is cloned, without fragment and without the queries below.
    pub remote: String,
    /// Branch, tag, full reference name or commit; the remote's HEAD by default.
    pub reference: Option<String>,
    /// Folder that is taken, relative to the repository's root.
    pub subdir: Option<String>,
    /// Commit, or the beginning of one, that the reference must be.
    pub checksum: Option<String>,
    /// Whether `.git` stays.
    pub keep_git_dir: bool,
    /// Whether submodules are checked out.
    pub submodules: bool,
    /// Whether files have the time of the commit rather than of the checkout.
    pub commit_mtime: bool,
    /// Whether the checksum is what is fetched, the reference being advice.
    pub fetch_by_commit: bool,
}

/// WORKDIR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkdirOp {
    /// Absolute.
    pub path: String,
    /// Owner of what has to be made: USER as of here; empty is root.
    pub user: String,
}
