//! Precedence between two routes that both match: one derived `Ord`.
//!
//! The number is the one Kong 3.10 computes, which is not the one it documents:
//! its shift of ordinary numbers is LuaJIT's, 32 bits wide and signed. What follows
//! from that is kept, since configurations depend on it:
//!
//! 1. four or more attributes come first: the sign fills the upper half;
//! 2. then plain hosts, even before routes with more attributes;
//! 3. then more attributes, more headers, longer prefixes.

use model::entities::Route;
use uuid::Uuid;

/// A matcher's place among others; the greatest that accepts a request serves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) priority: u64,
    /// Kong breaks ties so: the larger id wins.
    pub(super) id: Uuid,
}

const PLAIN_HOST: u64 = 1 << 60;
/// The bits a prefix's length has to itself.
const MAX_PREFIX_BYTES: usize = (1 << 19) - 1;

/// The priority of a route's matcher for prefixes of this length.
pub(super) fn priority(route: &Route, length: usize) -> u64 {
    let headers = route.headers.as_ref().map_or(0, |headers| headers.len());
    let low = shift32(attributes(route), 29) | shift32(headers.min(255) as i32, 20);
    let plain = if has_plain_hosts(route) { PLAIN_HOST } else { 0 };
    low | plain | length.min(MAX_PREFIX_BYTES) as u64
}

/// LuaJIT's shift: the result is a signed 32-bit number, whose sign then fills 64.
fn shift32(number: i32, by: u32) -> u64 {
    i64::from(number << by) as u64
}

/// How many attributes a route matches on.
fn attributes(route: &Route) -> i32 {
    let set = [
        route.methods.as_ref().is_some_and(|set| !set.is_empty()),
        route.hosts.as_ref().is_some_and(|list| !list.is_empty()),
        route.headers.as_ref().is_some_and(|map| !map.is_empty()),
        route.snis.as_ref().is_some_and(|set| !set.is_empty()),
        route.paths.as_ref().is_some_and(|list| !list.is_empty()),
        route.sources.as_ref().is_some_and(|set| !set.is_empty()),
        route.destinations.as_ref().is_some_and(|set| !set.is_empty()),
    ];
    set.into_iter().map(i32::from).sum()
}

/// Hosts without wildcards; an empty list counts, as in Kong.
fn has_plain_hosts(route: &Route) -> bool {
    route.hosts.as_ref().is_some_and(|hosts| !hosts.iter().any(|host| host.as_str().contains('*')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::testing::{RouteBuilder, route};
    use serde_json::json;

    // The numbers are what Kong's function returns.

    #[test]
    fn attributes_start_at_bit_29() {
        check(route("r").method("GET").path("/a"), 0x4000_0002);
    }

    #[test]
    fn a_plain_host_is_bit_60() {
        check(route("r").host("a.com"), 0x1000_0000_2000_0000);
    }

    #[test]
    fn one_wildcard_makes_hosts_not_plain() {
        check(route("r").host("a.com").host("*.a.com"), 0x2000_0000);
    }

    #[test]
    fn regex_priority_means_nothing_to_a_prefix() {
        check(route("r").path("/a").with("regex_priority", 5), 0x2000_0002);
    }

    #[test]
    fn four_attributes_fill_the_upper_half() {
        let route = route("r").method("GET").path("/a").with("headers", json!({ "x": ["y"] }));
        check(route.with("snis", json!(["a.com"])), 0xFFFF_FFFF_8010_0002);
    }

    #[track_caller]
    fn check(route: RouteBuilder, expected: u64) {
        let route = route.build();
        let length = route.paths.iter().flatten().map(|path| path.as_str().len()).next();
        let found = priority(&route, length.unwrap_or(0));
        assert_eq!(found, expected, "{found:#x}");
    }
}
