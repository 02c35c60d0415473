//! What a node takes entities by: how routes may be written, and what types of plugins there are.
//!
//! Both are settings of the node and not part of the configuration, so they are told to whoever reads
//! or shows an entity.

use crate::Flavor;
use crate::catalog::Catalog;
use crate::judge::Judge;

/// What a node takes entities by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// How routes may be written.
    pub flavor: Flavor,
    /// The types of plugins that may be used.
    pub catalog: Catalog,
}

impl Terms {
    /// Those of a node with this engine.
    pub fn of(flavor: Flavor, judge: &dyn Judge) -> Self {
        Self { flavor, catalog: judge.catalog() }
    }
}

impl From<Flavor> for Terms {
    fn from(flavor: Flavor) -> Self {
        Self { flavor, ..Self::default() }
    }
}
