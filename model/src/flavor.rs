//! How routes may be written: Kong's `router_flavor`.
//!
//! The flavor is a setting of each node, not part of the configuration: it decides
//! which fields a route has and what its fields may say together.

use std::fmt;

/// How routes may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavor {
    /// By attributes: hosts, paths, methods and the like.
    #[default]
    TraditionalCompatible,
    /// As expressions, or by attributes; both kinds may be mixed.
    Expressions,
}

/// As the property spells it.
impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavor::TraditionalCompatible => "traditional_compatible",
            Flavor::Expressions => "expressions",
        })
    }
}
