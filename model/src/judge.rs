//! What the engine would accept, known without running it.
//!
//! The control plane asks before it writes, so that a revision data planes
//! would refuse rarely travels. The engine answers by compiling on the side.

use crate::Config;
use crate::vitals::Problem;

/// Says whether a configuration could be served.
pub trait Judge: Send + Sync {
    /// Every reason why the engine would refuse `config`; none if it would not.
    fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>>;
}

/// A judge for where no engine is linked, such as tests of the store.
#[derive(Debug, Default)]
pub struct Lenient;

impl Judge for Lenient {
    fn rehearse(&self, _config: &Config) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}
