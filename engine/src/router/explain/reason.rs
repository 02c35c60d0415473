//! Why one route goes before another that matches the same request.
//!
//! A priority is the bits of its components together, so what decides between two is
//! whatever set the highest bit that the greater has and the lesser has not.

use super::fare::{Part, matching_parts};
use crate::router::rank::{Reach, attributes, headers, parts};
use crate::router::{Fields, Pattern, RequestView, RouterPriority};
use model::entities::Route;
use model::explain::Component;
use uuid::Uuid;

/// Where a route stands in an order, by the part of it that goes first there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'r> {
    pub(crate) route: &'r Route,
    pub(crate) part: Part,
    order: RouterPriority,
    components: [(Component, u64); 6],
    /// Compare these: the greater goes first.
    pub(crate) place: (u64, Uuid),
}

impl<'r> Standing<'r> {
    /// Where a route that matches a request for this path stands. None if it does not.
    pub(crate) fn of<F: Fields>(
        route: &'r Route,
        pattern: &Pattern,
        request: &RequestView<'_, F>,
        order: RouterPriority,
    ) -> Option<Standing<'r>> {
        let all =
            matching_parts(pattern, request).map(|part| Standing::of_part(route, part, order));
        all.max_by_key(|standing| standing.place)
    }

    fn of_part(route: &'r Route, part: Part, order: RouterPriority) -> Standing<'r> {
        let components = parts(route, part.reach, order);
        let priority = components.iter().fold(0, |all, (_, bits)| all | bits);
        Standing { route, part, order, components, place: (priority, part.id) }
    }

    /// What puts it before another.
    pub(crate) fn decided_by(&self, other: &Standing<'_>) -> Component {
        let Some(highest) = (self.place.0 ^ other.place.0).checked_ilog2() else {
            return Component::Id;
        };
        let bit = 1 << highest;
        let with_bit =
            |(component, bits): &(Component, u64)| (bits & bit != 0).then_some(*component);
        self.components.iter().find_map(with_bit).unwrap_or(Component::Id)
    }

    /// The same in words.
    pub(crate) fn because(&self, other: &Standing<'_>) -> String {
        match self.decided_by(other) {
            Component::Expression if other.route.expression.is_none() => {
                "an expression against a route without one".to_owned()
            }
            Component::Expression => {
                format!("priority {} against {}", self.route.priority, other.route.priority)
            }
            Component::AttributeCount => {
                let own = counted(attributes(self.route), "attribute");
                let counts = match &other.route.expression {
                    Some(_) => format!("{own} against an expression"),
                    None => format!("{own} against {}", attributes(other.route)),
                };
                let why = ", and four or more go before all else";
                if self.leaps(other) { counts + why } else { counts }
            }
            Component::PlainHost => {
                let hosts = if other.route.hosts.is_some() { "a wildcard" } else { "no host" };
                format!("a host without a wildcard against {hosts}")
            }
            Component::HeaderCount => {
                let own = counted(headers(self.route), "header");
                format!("{own} against {}", headers(other.route))
            }
            Component::RegexPriority => self.because_of_regex_priority(other),
            Component::RegexPath | Component::PathLength => {
                format!("{} against {}", self.path(), other.path())
            }
            Component::Id => {
                let (larger, smaller) = (self.place.1, other.place.1);
                format!(
                    "all else is equal; of ids the larger goes first: {larger} against {smaller}"
                )
            }
        }
    }

    fn because_of_regex_priority(&self, other: &Standing<'_>) -> String {
        let own = self.route.regex_priority.unwrap_or(0);
        if self.leaps(other) {
            return format!("regex_priority {own}: less than zero goes before all else");
        }
        match other.part.reach {
            Reach::Regex => {
                format!("regex_priority {own} against {}", other.route.regex_priority.unwrap_or(0))
            }
            _ => format!("regex_priority {own} against {}", other.path()),
        }
    }

    /// Whether it goes first because the sign of a number has filled the upper half of its
    /// priority: see [`crate::router::rank`]. It goes before expressions, too.
    fn leaps(&self, other: &Standing<'_>) -> bool {
        let is_filled = |standing: &Standing<'_>| standing.place.0 >> 32 == u64::from(u32::MAX);
        self.order == RouterPriority::KongEffective && is_filled(self) && !is_filled(other)
    }

    fn path(&self) -> String {
        match self.part.reach {
            Reach::Any => "no path".to_owned(),
            Reach::Prefix(length) => format!("a prefix of {}", counted(length, "byte")),
            Reach::Regex => "a regular expression".to_owned(),
        }
    }
}

fn counted<N: PartialEq + From<u8> + std::fmt::Display>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}
