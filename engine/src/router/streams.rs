//! Which route serves a stream.
//!
//! A [`StreamTable`] is the small sister of the table for requests: a shelf for each kind of
//! listener, best route first, in which routes that demand exact server names or ports are
//! found by those. It is immutable; the next one is patched from it and shares the rest.
//!
//! Kong 3.10 takes the best route whatever its protocols, and then gives up on a stream that
//! they do not fit. Here such a route is not asked in the first place.

use super::expression::{self, Expression};
use super::pattern::Unserved;
use super::predicate::Predicates;
use super::rank::Rank;
use super::regex::Regexes;
use super::request::{RequestView, Scheme};
use crate::snapshot::{CompiledService, RouterOptions};
use imbl::OrdMap;
use model::entities::Route;
use model::value::{AddressMatch, HostMatch, Name, Protocol, Set};
use model::{Flavor, Id};
use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use uuid::Uuid;

/// A stream in the router's eyes.
#[derive(Clone, Copy, Debug)]
pub struct StreamView<'a> {
    /// What its listener takes.
    pub over: Over,
    /// The server name of its TLS handshake; none without TLS, or if the client sent none.
    pub sni: Option<&'a [u8]>,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it was sent.
    pub destination: SocketAddr,
}

/// What a listener for streams takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// TCP as it comes.
    Tcp,
    /// TCP that begins with a TLS handshake.
    Tls,
    /// Datagrams.
    Udp,
}

impl Over {
    fn scheme(self) -> Scheme {
        match self {
            Over::Tcp => Scheme::Tcp,
            Over::Tls => Scheme::Tls,
            Over::Udp => Scheme::Udp,
        }
    }
}

/// A route for streams, ready to serve.
#[derive(Debug)]
pub struct CompiledStream {
    /// Which route.
    pub id: Id<Route>,
    /// What it is called.
    pub name: Option<Name>,
    /// Whether TLS is passed on unopened where its listener speaks TLS; otherwise it ends here.
    pub passes_tls: bool,
    /// Whether the server name the client sent is sent on, where the service speaks TLS.
    pub preserve_host: bool,
    /// Where its streams go; without one there is nowhere to send them.
    pub service: Option<Arc<CompiledService>>,
    protocols: Set<Protocol>,
    pattern: Pattern,
}

/// Which streams a route serves.
#[derive(Debug)]
pub(crate) struct Pattern {
    rank: Rank,
    predicates: Predicates,
    expression: Option<Expression>,
    /// The names it demands, in lower case, if all it takes are whole ones.
    names: Vec<Arc<str>>,
    /// The ports it demands, if it does.
    ports: Vec<u16>,
}

impl CompiledStream {
    /// Puts a route together.
    pub(crate) fn new(
        route: &Route,
        pattern: Pattern,
        service: Option<Arc<CompiledService>>,
    ) -> CompiledStream {
        CompiledStream {
            id: route.id,
            name: route.name.clone(),
            passes_tls: route.protocols.contains(&Protocol::TlsPassthrough),
            preserve_host: route.preserve_host,
            service,
            protocols: route.protocols.clone(),
            pattern,
        }
    }

    /// Says that its regular expressions are not used for it any more.
    pub(crate) fn give_back(&self, regexes: &Regexes) {
        self.pattern.give_back(regexes);
    }

    fn is_for(&self, over: Over) -> bool {
        self.protocols.iter().any(|protocol| match protocol {
            Protocol::Tcp => over == Over::Tcp,
            Protocol::Tls | Protocol::TlsPassthrough => over == Over::Tls,
            Protocol::Udp => over == Over::Udp,
            _ => false,
        })
    }
}

impl Pattern {
    /// The pattern of a route for streams, or what about it cannot be served.
    pub(crate) fn of(
        route: &Route,
        options: RouterOptions,
        regexes: &Regexes,
    ) -> Result<Pattern, Vec<Unserved>> {
        let flavor = options.router_flavor;
        let rank = Rank { priority: priority(route), id: route.id.uuid() };
        if let Some(expression) = super::expression_of(route, flavor, regexes)? {
            let predicates = Predicates::default();
            let expression = Some(expression);
            return Ok(Pattern { rank, predicates, expression, names: vec![], ports: vec![] });
        }
        let mut unserved = Vec::new();
        let mut predicates = Predicates::of(route, regexes, &mut unserved);
        if flavor == Flavor::Expressions {
            predicates.only_over(&route.protocols);
        }
        if !unserved.is_empty() {
            return Err(unserved);
        }
        let (names, ports) = (names(route), ports(route));
        Ok(Pattern { rank, predicates, expression: None, names, ports })
    }

    /// Whether its expression has a field that Kong will know no longer.
    pub(crate) fn is_dated(&self) -> bool {
        self.expression.as_ref().is_some_and(Expression::is_dated)
    }

    pub(crate) fn give_back(&self, regexes: &Regexes) {
        self.predicates.each_regex(&mut |regex| regexes.give_back(regex));
        if let Some(expression) = &self.expression {
            expression.give_back(regexes);
        }
    }

    fn accepts(&self, view: &RequestView<'_>) -> bool {
        match &self.expression {
            Some(expression) => expression.find(view).is_some(),
            None => self.predicates.accepts(view),
        }
    }
}

/// The server names a route demands, if it takes no others.
fn names(route: &Route) -> Vec<Arc<str>> {
    let name = |pattern: &model::value::SniPattern| match pattern.matches() {
        HostMatch::Exact(name) => {
            Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into())
        }
        HostMatch::Suffix(_) | HostMatch::Prefix(_) => None,
    };
    route.snis.iter().flatten().map(name).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The ports a route demands, if it takes no others.
fn ports(route: &Route) -> Vec<u16> {
    let ports = route.destinations.iter().flatten().map(|address| address.port);
    let mut ports = ports.collect::<Option<Vec<_>>>().unwrap_or_default();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// As Kong 3.10 ranks them: a server name, or both ends of the connection, before one end;
/// then by what the ends are told by.
fn priority(route: &Route) -> u64 {
    if route.expression.is_some() {
        return expression::rank(u64::try_from(route.priority).unwrap_or(0));
    }
    let (source, destination) = (weight(&route.sources), weight(&route.destinations));
    let has_name = route.snis.as_ref().is_some_and(|snis| !snis.is_empty());
    let is_narrow = has_name || (source != 0 && destination != 0);
    u64::from(is_narrow) << 61 | source << 4 | destination
}

/// An address counts more than a port, and that more than a range.
fn weight(addresses: &Option<Set<AddressMatch>>) -> u64 {
    let weight = |address: &AddressMatch| {
        let ip = address.ip.as_ref().map_or(0, |ip| if ip.as_str().contains('/') { 1 } else { 8 });
        ip | if address.port.is_some() { 4 } else { 0 }
    };
    addresses.iter().flatten().map(weight).fold(0, |all, bits| all | bits)
}

/// What becomes of one route.
#[derive(Clone, Debug)]
pub enum StreamChange {
    /// It is new, or not what it was.
    Put(Arc<CompiledStream>),
    /// It is gone, or not for streams.
    Remove(Id<Route>),
}

/// All routes for streams, ready to be asked. A clone shares everything.
#[derive(Clone, Debug, Default)]
pub struct StreamTable {
    tcp: Shelf,
    tls: Shelf,
    udp: Shelf,
    by_id: OrdMap<Id<Route>, Arc<CompiledStream>>,
}

impl StreamTable {
    /// The route that serves this stream, if any does.
    ///
    /// 1,000 routes of which each must be asked: 25 µs, once per stream; those found by a
    /// server name or a port cost under 1 µs.
    pub fn find(&self, view: &StreamView<'_>) -> Option<&Arc<CompiledStream>> {
        let asked = RequestView {
            scheme: view.over.scheme(),
            sni: view.sni,
            source: view.source,
            destination: view.destination,
            ..RequestView::new(b"", view.destination.port(), b"", b"")
        };
        self.shelf(view.over).find(&asked)
    }

    /// The route with this id, if it is for streams.
    pub fn by_id(&self, id: Id<Route>) -> Option<&Arc<CompiledStream>> {
        self.by_id.get(&id)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The table after these changes.
    pub fn patched(&self, changes: impl IntoIterator<Item = StreamChange>) -> StreamTable {
        let mut next = self.clone();
        for change in changes {
            let (id, come) = match change {
                StreamChange::Put(route) => (route.id, Some(route)),
                StreamChange::Remove(id) => (id, None),
            };
            if let Some(gone) = next.by_id.remove(&id) {
                next.each_shelf(&gone, |shelf| shelf.remove(&gone));
            }
            if let Some(route) = come {
                next.each_shelf(&route, |shelf| shelf.put(&route));
                next.by_id.insert(id, route);
            }
        }
        next
    }

    fn shelf(&self, over: Over) -> &Shelf {
        match over {
            Over::Tcp => &self.tcp,
            Over::Tls => &self.tls,
            Over::Udp => &self.udp,
        }
    }

    fn each_shelf(&mut self, route: &CompiledStream, mut visit: impl FnMut(&mut Shelf)) {
        let StreamTable { tcp, tls, udp, .. } = self;
        for (over, shelf) in [(Over::Tcp, tcp), (Over::Tls, tls), (Over::Udp, udp)] {
            if route.is_for(over) {
                shelf.takes_names = over == Over::Tls;
                visit(shelf);
            }
        }
    }
}

/// The routes for one kind of listener. Each is in one of the maps, under each of its keys.
#[derive(Clone, Debug, Default)]
struct Shelf {
    by_name: OrdMap<(Arc<str>, Reverse<Rank>), Arc<CompiledStream>>,
    by_port: OrdMap<(u16, Reverse<Rank>), Arc<CompiledStream>>,
    others: OrdMap<Reverse<Rank>, Arc<CompiledStream>>,
    /// Without TLS no server name is demanded, as in Kong.
    takes_names: bool,
}

/// Nothing goes before it.
const FIRST: Reverse<Rank> = Reverse(Rank { priority: u64::MAX, id: Uuid::max() });

impl Shelf {
    fn find(&self, view: &RequestView<'_>) -> Option<&Arc<CompiledStream>> {
        let name = view.sni.and_then(|name| std::str::from_utf8(name).ok());
        let name: Option<Arc<str>> = name.map(|name| name.to_ascii_lowercase().into());
        let port = view.destination.port();
        let named = name.and_then(|name| {
            let from = self.by_name.range((name.clone(), FIRST)..);
            first(from.take_while(move |((other, _), _)| *other == name).map(|(_, r)| r), view)
        });
        let from = self.by_port.range((port, FIRST)..);
        let ported = first(from.take_while(|((it, _), _)| *it == port).map(|(_, r)| r), view);
        let other = first(self.others.iter().map(|(_, route)| route), view);
        [named, ported, other].into_iter().flatten().max_by_key(|route| route.pattern.rank)
    }

    fn put(&mut self, route: &Arc<CompiledStream>) {
        let pattern = &route.pattern;
        let rank = Reverse(pattern.rank);
        if self.takes_names && !pattern.names.is_empty() {
            for name in &pattern.names {
                self.by_name.insert((name.clone(), rank), route.clone());
            }
        } else if !pattern.ports.is_empty() {
            for port in &pattern.ports {
                self.by_port.insert((*port, rank), route.clone());
            }
        } else {
            self.others.insert(rank, route.clone());
        }
    }

    fn remove(&mut self, route: &CompiledStream) {
        let pattern = &route.pattern;
        let rank = Reverse(pattern.rank);
        for name in &pattern.names {
            self.by_name.remove(&(name.clone(), rank));
        }
        for port in &pattern.ports {
            self.by_port.remove(&(*port, rank));
        }
        self.others.remove(&rank);
    }
}

/// The best of these that takes a stream; they come best first.
fn first<'t>(
    mut routes: impl Iterator<Item = &'t Arc<CompiledStream>>,
    view: &RequestView<'_>,
) -> Option<&'t Arc<CompiledStream>> {
    routes.find(|route| route.pattern.accepts(view))
}
