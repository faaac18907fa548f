//! Nothing is shown.

use super::{Setting, Show};
use std::{io, time::Duration};
use strake_build::Event;

pub(super) fn new(_: Setting) -> Box<dyn Show> {
    Box::new(Quiet)
}

struct Quiet;

impl Show for Quiet {
    fn event(&mut self, _: Duration, _: Event) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}
