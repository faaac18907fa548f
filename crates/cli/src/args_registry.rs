//! What can be typed about registries: flags that several commands share, and commands that move images.

use crate::args::StoreArgs;
use clap::Args;
use std::path::PathBuf;

/// How registries are reached.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RegistryArgs {
    /// Registries to speak plain HTTP with (those on localhost need no mention)
    #[arg(
        long = "plain-http",
        value_name = "HOST[:PORT]",
        env = "STRAKE_PLAIN_HTTP",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) plain_http: Vec<String>,
    /// Registries whose certificates are not checked
    #[arg(
        long = "insecure-registry",
        value_name = "HOST[:PORT]",
        env = "STRAKE_INSECURE_REGISTRY",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) insecure: Vec<String>,
    /// Certificate authorities (PEM), of one registry or of all
    #[arg(
        long = "registry-ca",
        value_name = "[HOST[:PORT]=]FILE",
        env = "STRAKE_REGISTRY_CA",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) registry_ca: Vec<String>,
    /// Certificate and key (PEM) to show to a registry
    #[arg(
        long = "client-cert",
        value_name = "HOST[:PORT]=CERT,KEY",
        env = "STRAKE_CLIENT_CERT",
        value_delimiter = ';',
        hide_env_values = true
    )]
    pub(crate) client_cert: Vec<String>,
    /// Read images below PREFIX from PLACE first, e.g. docker.io=mirror.example
    #[arg(
        long = "registry-mirror",
        value_name = "PREFIX=PLACE",
        env = "STRAKE_REGISTRY_MIRROR",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) mirrors: Vec<String>,
    /// Read images below PREFIX from PLACE only
    #[arg(
        long = "registry-map",
        value_name = "PREFIX=PLACE",
        env = "STRAKE_REGISTRY_MAP",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) maps: Vec<String>,
    /// Address of a registry's name, instead of what DNS says
    #[arg(long, value_name = "HOST=IP[:PORT]")]
    pub(crate) resolve: Vec<String>,
    /// Settings of registries [default: $XDG_CONFIG_HOME/strake/config.toml]
    #[arg(long, value_name = "FILE", env = "STRAKE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
}

/// What is done about repositories of Amazon ECR.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EcrArgs {
    /// Make an Amazon ECR repository that a push finds missing. Options: immutable, scan, tag.NAME=VALUE,
    /// lifecycle=FILE, encryption=AES256|KMS|KEY
    #[arg(long, value_name = "OPTION,..", num_args = 0..=1, default_missing_value = "", require_equals = true)]
    pub(crate) ecr_create: Option<String>,
}

/// How a transfer is shown, and with what.
#[derive(Clone, Debug, Args)]
pub(crate) struct TransferArgs {
    /// How progress is shown: auto, plain, tty, quiet, none or rawjson
    /// [default: $BUILDKIT_PROGRESS, or auto]
    #[arg(long, value_name = "KIND")]
    pub(crate) progress: Option<String>,
    /// Show no progress
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Say what is tried again, and why
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `strake push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// A name in the store, or an OCI layout (folder or tar), with :TAG or @DIGEST where it holds several
    #[arg(value_name = "IMAGE-OR-LAYOUT")]
    pub(crate) image: String,
    /// Where to: registry/repository[:tag]
    /// [default: IMAGE itself]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Only the image for this platform [default: all]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// What is done about repositories of Amazon ECR.
    #[command(flatten)]
    pub(crate) ecr: EcrArgs,
    /// How it is shown.
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// `strake pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// What to fetch into the store
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Which image of several platforms [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", conflicts_with = "all_platforms")]
    pub(crate) platform: Option<String>,
    /// The images for all platforms, and the index that lists them
    #[arg(long)]
    pub(crate) all_platforms: bool,
    /// How it is shown.
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// `strake copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// An image in a registry
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Where to: registry/repository[:tag]
    #[arg(value_name = "TO", required = true)]
    pub(crate) to: Vec<String>,
    /// Only the image for this platform [default: all]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// Leave out what is attached to the image: signatures, attestations and other referrers
    #[arg(long)]
    pub(crate) no_referrers: bool,
    /// What is done about repositories of Amazon ECR.
    #[command(flatten)]
    pub(crate) ecr: EcrArgs,
    /// How it is shown.
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// `strake tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// An image in the store; with --remote one in a registry
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Further names for it; with --remote further tags in its repository
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Write the tags in the registry; no blob is moved
    #[arg(long)]
    pub(crate) remote: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `strake inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A name in the store or a registry, or an OCI layout (folder or tar)
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Write the manifest or index as it is, byte for byte
    #[arg(long, conflicts_with_all = ["raw_config", "format"])]
    pub(crate) raw: bool,
    /// Write the image's config as it is, byte for byte
    #[arg(long, conflicts_with = "format")]
    pub(crate) raw_config: bool,
    /// What to write of it, e.g. '{{.Digest}}' or '{{json .Config.Env}}'
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Which image of several platforms [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// Ask the registry even if the store has an image of that name
    #[arg(long)]
    pub(crate) remote: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `strake login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Host with an optional port [default: docker.io]
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
    /// User name
    #[arg(short = 'u', long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Read the password or access token from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Refused: other users see the arguments of a program
    #[arg(short = 'p', long, hide = true)]
    pub(crate) password: Option<String>,
    /// File to keep the login in [default: $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or
    /// ~/.docker/config.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) reach: RegistryArgs,
}

/// `strake logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// Host with an optional port [default: docker.io]
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
    /// File that the login is kept in [default: as for login]
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
}

/// What `strake push` says at its end.
pub(crate) const PUSH_HELP: &str = "\
What the registry has is not sent again, and what it has in another repository is mounted. Tags are
written last. Standard output has a line NAME@DIGEST for each name.

Examples:
  strake push app:1 registry.example/app:1 registry.example/app:latest
  strake push ./layout:v1 registry.example/app:v1";

/// What `strake copy` says at its end.
pub(crate) const COPY_HELP: &str = "\
Blobs are mounted within a registry and streamed between two; none is kept here. All that an index
lists comes along, and what is attached to it: referrers, listed by the registry or under the tag
sha256-HEX, and what cosign keeps under sha256-HEX.sig, .att and .sbom.

Examples:
  strake copy alpine:3.20 registry.example/base/alpine:3.20
  strake copy --platform linux/arm64 registry.example/app:1 other.example/app:1";

/// What `strake inspect` says at its end.
pub(crate) const INSPECT_HELP: &str = "\
TEMPLATE has text and {{..}}: .Field.Field, json VALUE, len VALUE, index VALUE KEY, join VALUE TEXT,
range VALUE .. end.

Examples:
  strake inspect alpine:3.20
  strake inspect --format '{{.Digest}}' registry.example/app:1
  strake inspect --format '{{range .Config.Env}}{{.}}\n{{end}}' ./layout";

/// What `strake login` says at its end.
pub(crate) const LOGIN_HELP: &str = "\
The login is tried first. It is kept by a credential helper where the file names one for the registry
(credHelpers, credsStore) or one is installed; else the file has it, readable for its owner only.

Example:
  strake login -u ann --password-stdin registry.example < token";
