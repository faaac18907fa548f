//! Runs of real programs in real sandboxes, as root and as an ordinary user.
//!
//! They need Debian's `busybox-static`. The users' cases run as an ordinary user whoever runs the
//! tests; the cases of root run as that user too when the tests themselves are not run as root.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod chroot;
mod ending;
mod escape;
mod machines;
mod owners;
mod testbox;
mod view;
