//! How each route fares with one request, and why of two that match one goes first.
//!
//! Nothing of this runs while requests are served. Whether a route matches is asked of
//! the very patterns the table is made of, though one by one; the first of those that
//! match is the one [`super::RouteTable::find`] finds, which `tests/explain.rs` holds it
//! to. [`crate::snapshot`] puts a whole explanation together.

mod fare; // one route and one request
mod reason; // one route before another
mod words; // what was wanted and what was found

pub(crate) use fare::{Fare, fare};
pub(crate) use reason::Standing;
pub(crate) use words::{Nearness, agreements, found, matched_by, nearness, wanted};

use super::RouterPriority;
use model::explain::Order;
use std::fmt;

/// What a route matches requests by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// What is asked in place of all others.
    Expression,
    /// Only where routes may be expressions.
    Protocols,
    Hosts,
    Paths,
    Methods,
    Headers,
    Snis,
    Sources,
    Destinations,
    /// Not of the route itself: while its service is not enabled, it serves nothing.
    Service,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Attribute::Expression => "expression",
            Attribute::Protocols => "protocols",
            Attribute::Hosts => "hosts",
            Attribute::Paths => "paths",
            Attribute::Methods => "methods",
            Attribute::Headers => "headers",
            Attribute::Snis => "snis",
            Attribute::Sources => "sources",
            Attribute::Destinations => "destinations",
            Attribute::Service => "service",
        })
    }
}

impl RouterPriority {
    /// The order that is not this one.
    pub(crate) fn other(self) -> RouterPriority {
        match self {
            RouterPriority::KongEffective => RouterPriority::Documented,
            RouterPriority::Documented => RouterPriority::KongEffective,
        }
    }
}

impl From<RouterPriority> for Order {
    fn from(order: RouterPriority) -> Order {
        match order {
            RouterPriority::KongEffective => Order::KongEffective,
            RouterPriority::Documented => Order::Documented,
        }
    }
}
