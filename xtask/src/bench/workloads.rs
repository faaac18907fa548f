//! What is measured: each workload in five sizes, and what is done with it.

/// A build that grows.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What the sizes count.
    pub(super) unit: &'static str,
    /// The largest; the others are a half, a quarter and so on of it.
    pub(super) largest: u64,
    /// Makes Dockerfile and context in a folder.
    pub(super) kind: Kind,
    /// What else is run.
    pub(super) peers: &'static [Peer],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Many small files are copied.
    Files,
    /// A few large files are copied, so many MB in all.
    Large,
    /// So many files are ignored, some are copied.
    Ignored,
    /// A small application of so many source files, pushed.
    App,
    /// Each stage copies from the one before.
    Stages,
    /// So many lines of metadata.
    Lines,
    /// So many RUNs that write a line.
    Runs,
    /// A base of so many MB is pulled and unpacked for one RUN.
    Base,
    /// A layer of so many MB that do not compress is pushed.
    Push,
}

/// What strake is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    Buildah,
    /// BuildKit as docker.io has it.
    Docker,
    /// pigz, zstd and sha256sum over the tar of the context.
    Compressors,
    /// curl, with the bytes alone.
    Curl,
}

/// `runs` comes first: it makes many small files, which takes longer where many were removed lately.
pub(super) const ALL: &[Workload] = &[
    Workload {
        name: "runs",
        about: "RUNs that write a line each",
        unit: "RUNs",
        largest: 50,
        kind: Kind::Runs,
        peers: &[Peer::Buildah, Peer::Docker],
    },
    Workload {
        name: "files",
        about: "FROM scratch and COPY . /app of small files into an OCI archive",
        unit: "files",
        largest: 88_000,
        kind: Kind::Files,
        peers: &[Peer::Buildah, Peer::Compressors],
    },
    Workload {
        name: "large",
        about: "the same of four large files",
        unit: "MB",
        largest: 1024,
        kind: Kind::Large,
        peers: &[Peer::Buildah, Peer::Compressors],
    },
    Workload {
        name: "ignored",
        about: "a small COPY beside files that .dockerignore leaves out",
        unit: "ignored files",
        largest: 200_000,
        kind: Kind::Ignored,
        peers: &[Peer::Buildah],
    },
    Workload {
        name: "app",
        about: "a small application, built and pushed to a local registry; docker.io only builds it",
        unit: "source files",
        largest: 160,
        kind: Kind::App,
        peers: &[Peer::Docker],
    },
    Workload {
        name: "stages",
        about: "stages that each copy a file from the one before",
        unit: "stages",
        largest: 100,
        kind: Kind::Stages,
        peers: &[Peer::Buildah, Peer::Docker],
    },
    Workload {
        name: "lines",
        about: "a Dockerfile of ENV and LABEL",
        unit: "lines",
        largest: 1000,
        kind: Kind::Lines,
        peers: &[Peer::Docker],
    },
    Workload {
        name: "base",
        about: "a base pulled from a local registry and unpacked for one RUN",
        unit: "MB",
        largest: 400,
        kind: Kind::Base,
        peers: &[Peer::Buildah, Peer::Docker],
    },
    Workload {
        name: "push",
        about: "a layer that was built before, pushed to a local registry",
        unit: "MB",
        largest: 1024,
        kind: Kind::Push,
        peers: &[Peer::Curl],
    },
];

impl Workload {
    /// From the smallest to the largest.
    pub(super) fn sizes(&self, divide: u64) -> Vec<u64> {
        [16, 8, 4, 2, 1].iter().map(|it| (self.largest / divide / it).max(2)).collect()
    }

    pub(super) fn has(&self, peer: Peer) -> bool {
        self.peers.contains(&peer)
    }
}
