//! Writes a finished image as an OCI layout, a docker archive, a tar or a folder of its files.
//!
//! Invariant: no network. Every blob of an [`Image`] is a file of this machine.
//! Invariant: the same image gives the same bytes; the clock and the umask have no say in them.
//! Invariant: an archive appears under its name when it is complete, or not at all.

mod docker_archive;
mod error;
mod flatten;
mod image;
mod layout;
mod local;
mod media_types;
mod merge;
mod oci_layout;
mod output_file;
mod read_tar;
mod rootfs_tar;
mod write_tar;

pub use docker_archive::docker_archive;
pub use error::ExportError;
pub use image::{Image, ImageLayer, MultiImage, Package, index};
pub use local::{Owners, local};
pub use media_types::{MediaTypes, with_media_types};
pub use oci_layout::{oci_dir, oci_tar};
pub use output_file::write_file;
pub use rootfs_tar::{platform_folder, tar, tar_by_platform};
