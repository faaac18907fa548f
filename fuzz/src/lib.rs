//! What must hold for every input, apart from how inputs are made.

pub mod fixes;
pub mod ignore;
pub mod language;
pub mod registry;
