//! What a route demands of a request besides its host and path.
//!
//! All attributes must agree, each by any of its values. Names of hosts and headers and
//! the values of headers are compared without their case (RFC 9110 §4.2.3, §5.1), values
//! because Kong 3.10 does: it lower-cases both sides, regular expressions included, so
//! that `\D` comes to mean `\d`. Here expressions ignore case instead.

use super::explain::Attribute;
use super::method::Methods;
use super::regex::{Regex, Regexes};
use super::request::{Fields, RequestView, Scheme};
use super::shards::Hashing;
use super::tree::{Demands, Key, Keys, ShortText};
use super::{Unserved, expression, pattern::checked};
use ipnet::IpNet;
use model::entities::Route;
use model::value::{AddressMatch, HostMatch, Protocol, Set, SniPattern};
use std::net::SocketAddr;
use std::sync::Arc;

/// More values than this, and a header is compared with each rather than looked up.
const MOST_KEYS: usize = 16;

/// All demands but those on host and path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Predicates {
    /// How a request must have come in, where that counts.
    scheme: Option<Scheme>,
    pub(super) methods: Methods,
    /// Those of its methods that have no bit in [`Methods`].
    rare_methods: Box<[Box<str>]>,
    /// By their names.
    headers: Box<[HeaderRule]>,
    snis: Box<[SniRule]>,
    sources: Box<[AddressRule]>,
    destinations: Box<[AddressRule]>,
}

impl Predicates {
    /// What a route demands; regular expressions that cannot be used are left out and
    /// told in `unserved`.
    pub(super) fn of(route: &Route, regexes: &Regexes, unserved: &mut Vec<Unserved>) -> Predicates {
        let methods = route.methods.iter().flatten().map(|method| method.as_str());
        let rare = methods.clone().filter(|method| Methods::of(method.as_bytes()) == Methods::RARE);
        let addresses =
            |set: &Option<Set<AddressMatch>>| set.iter().flatten().map(AddressRule::of).collect();
        Predicates {
            scheme: None,
            methods: methods.clone().map(|m| Methods::of(m.as_bytes())).collect(),
            rare_methods: rare.map(Box::from).collect(),
            headers: HeaderRule::all(route, regexes, unserved),
            snis: route.snis.iter().flatten().map(SniRule::of).collect(),
            sources: addresses(&route.sources),
            destinations: addresses(&route.destinations),
        }
    }

    /// The same for these protocols only, as in the flavor `expressions`.
    pub(super) fn only_over(&mut self, protocols: &Set<Protocol>) {
        // Requests come in by one of two schemes: a route for both takes any.
        self.scheme = match expression::schemes(protocols.iter().copied()).as_deref() {
            Some([scheme]) => Some(*scheme),
            _ => None,
        };
    }

    /// What there is to ask but for a common method, a bit.
    pub(super) fn demands(&self) -> Demands {
        let has_more = self.scheme.is_some()
            || !self.snis.is_empty()
            || !self.sources.is_empty()
            || !self.destinations.is_empty();
        match &*self.headers {
            [] if !has_more => Demands::Nothing,
            [rule] if !has_more && rule.exact().is_some() => Demands::Value,
            _ => Demands::More,
        }
    }

    /// Whether the request has all that is demanded.
    pub(super) fn accepts<F: Fields>(&self, request: &RequestView<'_, F>) -> bool {
        self.scheme.is_none_or(|scheme| scheme == request.scheme)
            && self.accepts_method(request.method)
            && self.headers.iter().all(|rule| rule.accepts(request.fields))
            && self.accepts_sni(request)
            && accepts_address(&self.sources, request.source)
            && accepts_address(&self.destinations, request.destination)
    }

    /// Each demand by itself, and whether the request meets it: for whoever explains what
    /// [`Predicates::accepts`] says.
    pub(super) fn each<F: Fields>(&self, request: &RequestView<'_, F>) -> [(Attribute, bool); 6] {
        let agrees = |rules, address| accepts_address(rules, address);
        [
            (Attribute::Protocols, self.scheme.is_none_or(|scheme| scheme == request.scheme)),
            (Attribute::Methods, self.accepts_method(request.method)),
            (Attribute::Headers, self.missing_headers(request).next().is_none()),
            (Attribute::Snis, self.accepts_sni(request)),
            (Attribute::Sources, agrees(&self.sources, request.source)),
            (Attribute::Destinations, agrees(&self.destinations, request.destination)),
        ]
    }

    /// The headers, in lower case with `_` for `-`, that a request does not have as demanded.
    pub(super) fn missing_headers<F: Fields>(
        &self,
        request: &RequestView<'_, F>,
    ) -> impl Iterator<Item = &str> {
        let missing = self.headers.iter().filter(|rule| !rule.accepts(request.fields));
        missing.map(|rule| &*rule.name)
    }

    /// Visits its regular expressions, as often as they stand there.
    pub(super) fn each_regex(&self, visit: &mut impl FnMut(&Regex)) {
        for value in self.headers.iter().flat_map(|rule| &rule.values) {
            if let HeaderValue::Regex(regex) = value {
                visit(regex);
            }
        }
    }

    fn accepts_method(&self, method: &[u8]) -> bool {
        match Methods::of(method) {
            Methods::RARE if self.methods != Methods::ANY => {
                self.rare_methods.iter().any(|rare| rare.as_bytes() == method)
            }
            method => self.methods.meets(method),
        }
    }

    /// Without TLS there is no name to compare, and none is demanded.
    fn accepts_sni<F>(&self, request: &RequestView<'_, F>) -> bool {
        self.snis.is_empty()
            || !matches!(request.scheme, Scheme::Https | Scheme::Tls)
            || request.sni.is_some_and(|sni| self.snis.iter().any(|rule| rule.accepts(sni)))
    }

    /// What a split list finds a route by: its first header that has nothing but values,
    /// or else its methods.
    pub(super) fn keys(&self, hashing: &Hashing) -> Keys {
        if let Some((rule, values)) =
            self.headers.iter().find_map(|rule| Some((rule, rule.exact()?)))
        {
            let name = rule.name.as_bytes();
            let keys = values.map(|value| key_of_value(hashing, name, value)).collect();
            return Keys { header: Some(name.into()), keys };
        }
        let key = |method: &str| key_of_method(hashing, method);
        let rare = self.rare_methods.iter().map(|method| key(method));
        Keys { header: None, keys: self.methods.names().map(key).chain(rare).collect() }
    }
}

/// Where a split list has the routes for a method.
#[inline]
pub(super) fn method_key(hashing: &Hashing, method: &[u8]) -> u64 {
    hashing.of(&(0u8, method))
}

/// Where a split list has the routes for a header's value.
#[inline]
pub(super) fn header_key(hashing: &Hashing, name: &[u8], value: &[u8]) -> u64 {
    hashing.without_case(name, value)
}

pub(super) fn key_of_method(hashing: &Hashing, method: &str) -> Key {
    let method = method.as_bytes();
    Key { hash: method_key(hashing, method), text: method.into() }
}

pub(super) fn key_of_value(hashing: &Hashing, name: &[u8], value: &[u8]) -> Key {
    let text: ShortText = value.iter().map(u8::to_ascii_lowercase).collect();
    Key { hash: header_key(hashing, name, value), text }
}

/// A header, any of whose values must be one of these.
#[derive(Debug, PartialEq, Eq)]
struct HeaderRule {
    /// In lower case, with `_` for `-`.
    name: Box<str>,
    values: Box<[HeaderValue]>,
}

#[derive(Debug, PartialEq, Eq)]
enum HeaderValue {
    Exact(Box<str>),
    Regex(Arc<Regex>),
}

impl HeaderRule {
    fn all(route: &Route, regexes: &Regexes, unserved: &mut Vec<Unserved>) -> Box<[HeaderRule]> {
        let mut value = |value: &String| match value.strip_prefix("~*") {
            None => Some(HeaderValue::Exact(value.as_str().into())),
            Some(text) => {
                checked("headers", text, regexes.for_values(text), unserved).map(HeaderValue::Regex)
            }
        };
        let rules = route.headers.iter().flatten().map(|(name, values)| HeaderRule {
            name: name.as_str().to_ascii_lowercase().replace('-', "_").into(),
            values: values.iter().filter_map(&mut value).collect(),
        });
        let mut rules: Vec<_> = rules.collect();
        rules.sort_by(|a, b| a.name.cmp(&b.name));
        rules.into()
    }

    fn accepts(&self, fields: &impl Fields) -> bool {
        let is_one = |value: &[u8]| self.values.iter().any(|rule| rule.accepts(value));
        fields.values(self.name.as_bytes()).any(is_one)
    }

    /// Its values, if they are few and no regular expression is among them.
    fn exact(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let is_exact = |value: &HeaderValue| matches!(value, HeaderValue::Exact(_));
        let is_so = self.values.len() <= MOST_KEYS && self.values.iter().all(is_exact);
        let values = self.values.iter().filter_map(|value| match value {
            HeaderValue::Exact(value) => Some(value.as_bytes()),
            HeaderValue::Regex(_) => None,
        });
        is_so.then_some(values)
    }
}

impl HeaderValue {
    fn accepts(&self, value: &[u8]) -> bool {
        match self {
            HeaderValue::Exact(exact) => exact.as_bytes().eq_ignore_ascii_case(value),
            HeaderValue::Regex(regex) => regex.is_match(value),
        }
    }
}

/// A server name or the part of one that is before or behind a wildcard.
#[derive(Debug, PartialEq, Eq)]
enum SniRule {
    Exact(Box<str>),
    Suffix(Box<str>),
    Prefix(Box<str>),
}

impl SniRule {
    /// A dot at the end of a name says that it is whole; handshakes do not say it.
    fn of(pattern: &SniPattern) -> SniRule {
        let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).into();
        match pattern.matches() {
            HostMatch::Exact(name) => SniRule::Exact(bare(name)),
            HostMatch::Suffix(name) => SniRule::Suffix(bare(name)),
            HostMatch::Prefix(name) => SniRule::Prefix(name.into()),
        }
    }

    fn accepts(&self, sni: &[u8]) -> bool {
        let is = |name: &str, part: Option<&[u8]>| {
            part.is_some_and(|part| part.eq_ignore_ascii_case(name.as_bytes()))
        };
        match self {
            SniRule::Exact(name) => is(name, Some(sni)),
            SniRule::Suffix(name) => {
                is(name, sni.len().checked_sub(name.len()).and_then(|at| sni.get(at..)))
            }
            SniRule::Prefix(name) => is(name, sni.get(..name.len())),
        }
    }
}

/// An end of a connection.
#[derive(Debug, PartialEq, Eq)]
struct AddressRule {
    range: Option<IpNet>,
    port: Option<u16>,
}

impl AddressRule {
    fn of(address: &AddressMatch) -> AddressRule {
        let range = address.ip.as_ref().map(|range| {
            let (ip, bits) = range.parts();
            IpNet::new(ip, bits).unwrap_or_else(|_| IpNet::from(ip)).trunc()
        });
        AddressRule { range, port: address.port }
    }
}

/// Whether there is no rule, or one with which all its parts agree.
fn accepts_address(rules: &[AddressRule], address: SocketAddr) -> bool {
    // A listener on `::` sees IPv4 clients as addresses of IPv6.
    let ip = address.ip().to_canonical();
    let agrees = |rule: &AddressRule| {
        rule.range.is_none_or(|range| range.contains(&ip))
            && rule.port.is_none_or(|port| port == address.port())
    };
    rules.is_empty() || rules.iter().any(agrees)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_match_whole_or_at_a_wildcard() {
        check("a.com", "a.com", true);
        check("a.com", "A.com", true);
        check("a.com", "b.a.com", false);
        check("a.com.", "a.com", true);
        check("*.a.com", "x.y.a.com", true);
        check("*.a.com.", "x.a.com", true);
        check("*.a.com", "a.com", false);
        check("a.*", "a.b.c", true);
        check("a.*", "b.a", false);
    }

    #[track_caller]
    fn check(pattern: &str, sni: &str, expected: bool) {
        let rule = SniRule::of(&pattern.parse().expect("a pattern"));
        assert_eq!(rule.accepts(sni.as_bytes()), expected, "{pattern} {sni}");
    }
}
