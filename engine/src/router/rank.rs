//! Precedence between two routes that both match: one derived `Ord`.
//!
//! The number is by default the one Kong 3.10 computes, which is not the one it
//! documents: its shift of ordinary numbers is LuaJIT's, 32 bits wide and signed. What
//! follows from that is kept, since configurations depend on it:
//!
//! 1. four or more attributes come first, and any regular expression with a negative
//!    priority: the sign fills the upper half;
//! 2. then plain hosts, even before routes with more attributes;
//! 3. then regular expressions, even before routes with more attributes;
//! 4. then more attributes; then more headers and a higher `regex_priority`, whose bits
//!    overlap; then longer prefixes.
//!
//! [`RouterPriority::Documented`] has each in bits of its own, in the order of Kong's
//! manual: attributes, plain hosts, headers, regular expressions by their priority,
//! longer prefixes.

use super::expression;
use model::entities::Route;
use model::explain::Component;
use uuid::Uuid;

/// A matcher's place among others; the greatest that accepts a request serves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) priority: u64,
    /// Kong breaks ties so: the larger id wins.
    pub(super) id: Uuid,
}

/// Which order routes have that match the same request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouterPriority {
    /// What Kong 3.10 does.
    #[default]
    KongEffective,
    /// What Kong 3.10 says in its manual.
    Documented,
}

/// The paths of a matcher, as far as its priority goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Any path.
    Any,
    /// Those with a prefix of this length.
    Prefix(usize),
    /// Those that a regular expression matches.
    Regex,
}

/// The priority of a route's matcher for paths of this sort.
pub(super) fn priority(route: &Route, reach: Reach, order: RouterPriority) -> u64 {
    parts(route, reach, order).into_iter().fold(0, |all, (_, bits)| all | bits)
}

/// What a priority is made of: all these bits together. Where two components have the same
/// bit, it is the first of them that it is said to be of.
pub(super) fn parts(route: &Route, reach: Reach, order: RouterPriority) -> [(Component, u64); 6] {
    if route.expression.is_some() {
        let priority = expression::rank(u64::try_from(route.priority).unwrap_or(0));
        let nothing = (Component::Expression, 0);
        return [(Component::Expression, priority), nothing, nothing, nothing, nothing, nothing];
    }
    let regex_priority = route.regex_priority.unwrap_or(0);
    let (attributes, headers, regex_priority) = match order {
        RouterPriority::KongEffective => (
            shift32(attributes(route), 29),
            shift32(headers(route), 20),
            shift32(regex_priority as i32, 19),
        ),
        RouterPriority::Documented => (
            (attributes(route) as u64) << 61,
            (headers(route) as u64) << 52,
            u64::from(biased(regex_priority)) << 19,
        ),
    };
    let (regex, regex_priority, length) = match reach {
        Reach::Any => (0, 0, 0),
        Reach::Prefix(length) => (0, 0, length.min(MAX_PREFIX_BYTES) as u64),
        Reach::Regex => (REGEX, regex_priority, 0),
    };
    [
        (Component::AttributeCount, attributes),
        (Component::PlainHost, if has_plain_hosts(route) { PLAIN_HOST } else { 0 }),
        (Component::RegexPath, regex),
        (Component::HeaderCount, headers),
        (Component::RegexPriority, regex_priority),
        (Component::PathLength, length),
    ]
}

const PLAIN_HOST: u64 = 1 << 60;
const REGEX: u64 = 1 << 51;
/// The bits a prefix's length has to itself.
const MAX_PREFIX_BYTES: usize = (1 << 19) - 1;

/// LuaJIT's shift: the result is a signed 32-bit number, whose sign then fills 64.
fn shift32(number: i32, by: u32) -> u64 {
    i64::from(number << by) as u64
}

/// 32 bits in which a negative number is less than a positive one.
fn biased(number: i64) -> u32 {
    (number.clamp(i32::MIN.into(), i32::MAX.into()) as i32 as u32) ^ (1 << 31)
}

/// How many attributes a route matches on.
pub(super) fn attributes(route: &Route) -> i32 {
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

/// How many headers it matches on, as far as they count.
pub(super) fn headers(route: &Route) -> i32 {
    route.headers.as_ref().map_or(0, |headers| headers.len().min(255) as i32)
}

/// Hosts without wildcards; an empty list counts, as in Kong.
fn has_plain_hosts(route: &Route) -> bool {
    route.hosts.as_ref().is_some_and(|hosts| !hosts.iter().any(|host| host.as_str().contains('*')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::testing::{RouteBuilder, route};
    use model::value::PathMatch;
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
    fn a_regex_is_bit_51_and_its_priority_starts_at_bit_19() {
        check(route("r").path("~/a").with("regex_priority", 5), 0x0008_0000_2028_0000);
    }

    #[test]
    fn a_negative_regex_priority_fills_the_upper_half() {
        check(route("r").path("~/a").with("regex_priority", -1), 0xFFFF_FFFF_FFF8_0000);
    }

    #[test]
    fn four_attributes_fill_the_upper_half() {
        check(four_attributes(), 0xFFFF_FFFF_8010_0002);
    }

    #[test]
    fn documented_attributes_have_bits_of_their_own() {
        check_documented(four_attributes(), 0x8010_0000_0000_0002);
        check_documented(route("r").host("a.com"), 0x3000_0000_0000_0000);
        check_documented(route("r").path("/a"), 0x2000_0000_0000_0002);
    }

    #[test]
    fn documented_regex_priorities_are_in_order() {
        let of = |priority: i64| {
            let route = route("r").path("~/a").with("regex_priority", priority).build();
            super::priority(&route, Reach::Regex, RouterPriority::Documented)
        };
        assert!(of(-2) < of(-1) && of(-1) < of(0) && of(0) < of(1) && of(1) < of(i64::MAX));
    }

    fn four_attributes() -> RouteBuilder {
        let route = route("r").method("GET").path("/a").with("headers", json!({ "x": ["y"] }));
        route.with("snis", json!(["a.com"]))
    }

    #[track_caller]
    fn check(route: RouteBuilder, expected: u64) {
        check_order(route, RouterPriority::KongEffective, expected);
    }

    #[track_caller]
    fn check_documented(route: RouteBuilder, expected: u64) {
        check_order(route, RouterPriority::Documented, expected);
    }

    #[track_caller]
    fn check_order(route: RouteBuilder, order: RouterPriority, expected: u64) {
        let route = route.build();
        let reach = route.paths.iter().flatten().next().map(|path| match path.matches() {
            PathMatch::Prefix(prefix) => Reach::Prefix(prefix.len()),
            PathMatch::Regex(_) => Reach::Regex,
        });
        let found = priority(&route, reach.unwrap_or(Reach::Any), order);
        assert_eq!(found, expected, "{found:#x}");
    }
}
