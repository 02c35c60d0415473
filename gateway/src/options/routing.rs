//! How routes are written, and which of two goes first.

use engine::RouterOptions;
use engine::router::RouterPriority;
use model::Flavor;

use super::reader::Reader;

/// What is not as Kong's flavor `traditional` has it.
const NOT_TRADITIONAL: &str = "router_flavor = traditional is served as traditional_compatible, \
     Kong's default. What is not the same: which of several matching routes is served (as \
     router_priority says; of equals the larger id, not the older one); path_handling = v1 has \
     no effect; ports 80 and 443 are not implied in hosts; regular expressions are not \
     PCRE, so that what looks around or refers back is refused";

impl Reader<'_> {
    /// What every part of the node that compiles routes is told.
    pub(super) fn routing(&self) -> RouterOptions {
        RouterOptions {
            router_priority: match self.choice("router_priority") {
                "documented" => RouterPriority::Documented,
                _ => RouterPriority::KongEffective,
            },
            router_flavor: match self.choice("router_flavor") {
                "expressions" => Flavor::Expressions,
                _ => Flavor::TraditionalCompatible,
            },
        }
    }

    /// Says what an operator of Kong would not expect.
    pub(super) fn tell_flavor(&mut self) {
        if self.choice("router_flavor") == "traditional" {
            self.warn(NOT_TRADITIONAL.to_owned());
        }
    }
}
