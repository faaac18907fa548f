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
    /// Whether buildah is run as well.
    pub(super) buildah: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Many small files are copied.
    Files,
    /// A few large files are copied, so many MB in all.
    Large,
    /// So many files are ignored, some are copied.
    Ignored,
    /// Each stage copies from the one before.
    Stages,
    /// So many lines of metadata.
    Lines,
    /// So many RUNs that write a line.
    Runs,
}

pub(super) const ALL: &[Workload] = &[
    Workload {
        name: "files",
        about: "FROM scratch and COPY . /app of small files into an OCI archive",
        unit: "files",
        largest: 88_000,
        kind: Kind::Files,
        buildah: true,
    },
    Workload {
        name: "large",
        about: "the same of four large files",
        unit: "MB",
        largest: 1024,
        kind: Kind::Large,
        buildah: true,
    },
    Workload {
        name: "ignored",
        about: "a small COPY beside files that .dockerignore leaves out",
        unit: "ignored files",
        largest: 200_000,
        kind: Kind::Ignored,
        buildah: true,
    },
    Workload {
        name: "stages",
        about: "stages that each copy a file from the one before",
        unit: "stages",
        largest: 100,
        kind: Kind::Stages,
        buildah: true,
    },
    Workload {
        name: "lines",
        about: "a Dockerfile of ENV and LABEL",
        unit: "lines",
        largest: 1000,
        kind: Kind::Lines,
        buildah: false,
    },
    Workload {
        name: "runs",
        about: "RUNs that write a line each",
        unit: "RUNs",
        largest: 48,
        kind: Kind::Runs,
        buildah: true,
    },
];

impl Workload {
    /// From the smallest to the largest.
    pub(super) fn sizes(&self, divide: u64) -> Vec<u64> {
        [16, 8, 4, 2, 1].iter().map(|it| (self.largest / divide / it).max(1)).collect()
    }

    /// Whether a tar of the context is what the work is about.
    pub(super) fn has_tar(&self) -> bool {
        matches!(self.kind, Kind::Files | Kind::Large)
    }
}
