//! The requests that something goes wrong with, and what is done so that they are made.

use crate::proxy::Head;

/// A request that something goes wrong with.
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) part: &'static str,
    pub(super) does: Does,
    /// What goes along: bytes up, down, or neither.
    pub(super) body: Body,
}

/// What the client is asked for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Does {
    Push,
    Pull,
    /// What a name stands for.
    Ask,
    /// A copy within the registry.
    Mount,
    /// A copy to elsewhere: the fault is where it is read.
    CopyFrom,
    /// A copy from elsewhere: the fault is where it is written.
    CopyTo,
}

impl Does {
    pub(super) fn writes(self) -> bool {
        !matches!(self, Does::Pull | Does::Ask)
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Body {
    None,
    Up,
    Down,
}

pub(super) const VERBS: [Verb; 11] = [
    verb("HEAD blob", "HEAD", "/blobs/sha256", Does::Push, Body::None),
    verb("POST upload", "POST", "/blobs/uploads/", Does::Push, Body::None),
    verb("POST mount", "POST", "mount=", Does::Mount, Body::None),
    verb("PUT blob", "PUT", "/blobs/uploads/", Does::Push, Body::Up),
    verb("PUT blob, copied", "PUT", "/blobs/uploads/", Does::CopyTo, Body::Up),
    verb("PATCH chunk", "PATCH", "/blobs/uploads/", Does::Push, Body::Up),
    verb("HEAD manifest", "HEAD", "/manifests/", Does::Ask, Body::None),
    verb("PUT manifest", "PUT", "/manifests/", Does::Push, Body::Up),
    verb("GET manifest", "GET", "/manifests/", Does::Pull, Body::Down),
    verb("GET blob", "GET", "/blobs/sha256", Does::Pull, Body::Down),
    verb("GET blob, copied", "GET", "/blobs/sha256", Does::CopyFrom, Body::Down),
];

const fn verb(
    name: &'static str,
    method: &'static str,
    part: &'static str,
    does: Does,
    body: Body,
) -> Verb {
    Verb { name, method, part, does, body }
}

impl Verb {
    pub(super) fn is(&self, head: &Head) -> bool {
        head.is(self.method, self.part)
    }

    pub(super) fn chunks(&self) -> bool {
        self.method == "PATCH"
    }

    pub(super) fn mounts(&self) -> bool {
        self.does == Does::Mount
    }

    pub(super) fn manifests(&self) -> bool {
        self.part.contains("manifests")
    }
}
