//! What the engine would accept, known without running it.
//!
//! The control plane asks before it writes, so that a revision data planes
//! would refuse rarely travels. The engine answers by compiling on the side; and
//! as it can compile, it can also say which route a request would take, and which
//! plugins it runs.

use crate::explain::{Explanation, Question};
use crate::vitals::Problem;
use crate::{Catalog, Config};

/// The code of the one problem of a judge that knows no router.
pub const NO_ROUTER: &str = "no_router";

/// Says whether a configuration could be served, and how.
pub trait Judge: Send + Sync {
    /// Every reason why the engine would refuse `config`; none if it would not.
    fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>>;

    /// The types of plugins the engine runs.
    fn catalog(&self) -> Catalog {
        Catalog::default()
    }

    /// Which route of `config` serves a request, and why no other. Takes time in
    /// proportion to the number of routes.
    ///
    /// # Errors
    /// Every reason why the engine would refuse `config`, or that there is no engine.
    fn explain(&self, config: &Config, question: &Question) -> Result<Explanation, Vec<Problem>> {
        let _ = (config, question);
        Err(vec![Problem {
            code: NO_ROUTER.to_owned(),
            entity: None,
            field: None,
            message: "no engine is here that could be asked for routes".to_owned(),
        }])
    }
}

/// A judge for where no engine is linked, such as tests of the store.
#[derive(Debug, Default)]
pub struct Lenient;

impl Judge for Lenient {
    fn rehearse(&self, _config: &Config) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}
