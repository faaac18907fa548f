//! stub
pub(crate) mod record;
use crate::Owner;
use crate::spec::{Identity, RootSpec};
use rustix::io::Errno;
pub(crate) const CARRIER: u32 = 10;
#[derive(Clone, Copy, Debug)]
pub(crate) struct CredentialsId(pub(crate) u64);
pub(crate) struct Roots;
impl Roots {
    pub(crate) fn open(_: &RootSpec) -> Result<Self, Errno> {
        Ok(Self)
    }
}
pub(crate) struct Engine;
impl Engine {
    pub(crate) fn new(_: Roots, _: &Identity, _: &[Owner]) -> Self {
        Self
    }
    pub(crate) fn first(&self) -> CredentialsId {
        CredentialsId(0)
    }
    pub(crate) fn into_owners(self) -> Vec<Owner> {
        Vec::new()
    }
}
