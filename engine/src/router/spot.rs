//! Where an expression hangs in the table: the places of its anchors, as few as say as
//! much.
//!
//! Anchors that differ in nothing but the method or the value of one header share a
//! place, with several keys. An expression that matches a request is met in one of its
//! places at least; whether it matches is always for the expression to say.

use super::expression::{Anchor, Expression, HeaderAnchor, HostAnchor, PathAnchor};
use super::host::HostName;
use super::method::Methods;
use super::predicate::{key_of_method, key_of_value};
use super::shards::Hashing;
use super::tree::{How, Keys};
use std::collections::BTreeMap;

/// One place of an expression.
#[derive(Debug)]
pub(super) struct Spot {
    /// None for any host.
    pub(super) host: Option<HostName>,
    /// What the path starts with, or is.
    pub(super) path: Box<str>,
    pub(super) how: How,
    pub(super) methods: Methods,
    keys: SpotKeys,
}

/// By what it is found in a list that is split.
#[derive(Debug)]
enum SpotKeys {
    /// A header that has one of these values.
    Header(Box<str>, Box<[Box<str>]>),
    /// One of these methods; none for any.
    Methods(Box<[Box<str>]>),
}

/// What the anchors at one spot have in common.
type Common = (Option<HostName>, PathAnchor, Option<Box<str>>);

/// What tells them apart.
#[derive(Default)]
struct Differences {
    methods: Vec<Option<Box<str>>>,
    values: Vec<Box<str>>,
}

impl Spot {
    /// The places of an expression; none if it matches nothing.
    pub(super) fn all(expression: &Expression) -> Box<[Spot]> {
        let mut spots = BTreeMap::<Common, Differences>::new();
        for Anchor { host, path, method, header } in expression.anchors() {
            let (name, value) = header.map(|HeaderAnchor { name, value }| (name, value)).unzip();
            let differences = spots.entry((host_name(host), path, name)).or_default();
            differences.methods.push(method);
            differences.values.extend(value);
        }
        spots.into_iter().map(|(common, differences)| Spot::of(common, differences)).collect()
    }

    fn of((host, path, header): Common, differences: Differences) -> Spot {
        let Differences { methods, values } = differences;
        // Where one of them takes any method, so does the place.
        let named: Option<Vec<Box<str>>> = methods.into_iter().collect();
        let named = named.unwrap_or_default();
        let methods = named.iter().map(|method| Methods::of(method.as_bytes())).collect();
        let keys = match header {
            Some(name) => SpotKeys::Header(name, unrepeated(values)),
            None => SpotKeys::Methods(unrepeated(named)),
        };
        let (path, how) = match path {
            PathAnchor::Exact(path) => (path, How::EvaluatedWhole),
            PathAnchor::Prefix(path) => (path, How::Evaluated),
            PathAnchor::Any => (Box::default(), How::Evaluated),
        };
        Spot { host, path, how, methods, keys }
    }

    /// Whether it is asked of every request, or of all those with some method.
    pub(super) fn is_everywhere(&self) -> bool {
        self.host.is_none() && self.path.is_empty() && matches!(self.keys, SpotKeys::Methods(_))
    }

    pub(super) fn keys(&self, hashing: &Hashing) -> Keys {
        match &self.keys {
            SpotKeys::Header(name, values) => {
                let name = name.as_bytes();
                let values = values.iter().map(|value| value.as_bytes());
                let keys = values.map(|value| key_of_value(hashing, name, value));
                Keys { header: Some(name.into()), keys: keys.collect() }
            }
            SpotKeys::Methods(methods) => {
                let keys = methods.iter().map(|method| key_of_method(hashing, method));
                Keys { header: None, keys: keys.collect() }
            }
        }
    }
}

fn host_name(host: HostAnchor) -> Option<HostName> {
    Some(match host {
        HostAnchor::Exact(name) => HostName::Exact(name),
        HostAnchor::Suffix(end) => HostName::Suffix(end),
        HostAnchor::Prefix(start) => HostName::Prefix(start),
        HostAnchor::Any => return None,
    })
}

fn unrepeated(mut texts: Vec<Box<str>>) -> Box<[Box<str>]> {
    texts.sort_unstable();
    texts.dedup();
    texts.into()
}

const _: () = assert!(
    super::expression::LONGEST_ANCHOR <= super::pattern::LONGEST_HOST,
    "any part of a host in an anchor can be placed"
);
