//! One request and its response passing through.
//!
//! An [`Exchange`] takes its worker's snapshot once, when it begins, and every
//! phase reads that one: whatever is published meanwhile concerns the next
//! request. It owns the request's head, knows the client, and keeps the times the
//! latency headers tell. However it ends, it has one line in the access log: one that is
//! dropped without a word has lost its client.

mod ids; // what requests are called

pub(crate) use ids::{Ids, RequestId};

use super::forwarded;
use super::head::Head;
use super::hygiene::{Framing, Said, Terms};
use super::log::{AccessLog, Outcome};
use super::printed::Printed;
use super::restraint::Restraint;
use crate::door::Request;
use crate::metrics::Counters;
use crate::options::{ErrorLog, Options};
use crate::plugins::chain::Chain;
use crate::resolve::Resolver;
use crate::router::RouteIndex;
use crate::snapshot::publish::{Pinned, Reader};
use crate::snapshot::{CompiledRoute, CompiledService};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What a worker offers every request it serves.
pub(crate) struct Station {
    pub(crate) options: Arc<Options>,
    pub(crate) snapshots: Arc<Reader>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ids: Ids,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) failures: Failures,
    /// True from when the engine leaves. Each worker has a channel of its own: asking
    /// takes its lock.
    pub(crate) draining: watch::Receiver<bool>,
}

/// How much is logged of requests that fail. A flood of one kind hides none of the other.
pub(crate) struct Failures {
    /// By their upstream, or by us.
    pub(crate) upstream: Restraint,
    /// By their client.
    pub(crate) client: Restraint,
}

impl Failures {
    pub(crate) fn new(log: ErrorLog) -> Failures {
        let restraint = || Restraint::new(log.failures_per_second);
        Failures { upstream: restraint(), client: restraint() }
    }
}

/// Who is at the other end of a connection.
pub(crate) struct Client {
    pub(crate) station: Arc<Station>,
    /// The address it connects from.
    pub(crate) peer: SocketAddr,
    /// The same without its port, as text: every request tells it twice.
    pub(crate) address: Box<[u8]>,
    /// The address it connects to, of this machine.
    pub(crate) local: IpAddr,
    /// Where the PROXY protocol says that the connection comes from.
    pub(crate) relayed_from: Option<SocketAddr>,
    /// The port it knows us by.
    pub(crate) port: u16,
    /// Whether it speaks TLS with us.
    pub(crate) tls: bool,
    /// The server name of its TLS handshake, in lower case; none if it sent none.
    pub(crate) sni: Option<Box<str>>,
    /// Whether its word is taken on where requests come from.
    pub(crate) trusted: bool,
    /// Set when a lane that gave its connection up has answered completely.
    answered: AtomicBool,
}

/// The ends of a client's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    /// Of this machine; the port is its listener's.
    pub(crate) local: SocketAddr,
    /// Where the PROXY protocol says that it comes from.
    pub(crate) relayed_from: Option<SocketAddr>,
}

/// What a client agreed on with us in its TLS handshake.
pub(crate) struct Secured {
    /// The server name it asked for, in lower case.
    pub(crate) sni: Option<Box<str>>,
}

impl Client {
    /// A client that has connected.
    pub(crate) fn new(station: Arc<Station>, ends: Ends, tls: Option<Secured>) -> Arc<Client> {
        let Ends { peer, local, relayed_from } = ends;
        let options = &station.options;
        let port = options.public_ports.get(&local.port()).copied().unwrap_or(local.port());
        let local = local.ip().to_canonical();
        let trusted = options.forwarding.trusts(peer.ip());
        let answered = AtomicBool::new(false);
        let (tls, sni) = (tls.is_some(), tls.and_then(|secured| secured.sni));
        let address = Printed::new().print(peer.ip()).into();
        Arc::new(Client {
            station,
            peer,
            address,
            local,
            relayed_from,
            port,
            tls,
            sni,
            trusted,
            answered,
        })
    }

    /// Notes that the current request has been answered completely.
    pub(crate) fn note_answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether that was noted since the last time this was asked.
    pub(crate) fn take_answered(&self) -> bool {
        self.answered.swap(false, Relaxed)
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// A request, from its head to its log line.
pub(crate) struct Exchange {
    client: Arc<Client>,
    snapshot: Pinned,
    head: Box<Head>,
    terms: Terms,
    id: RequestId,
    started: Instant,
    /// When the upstream had been chosen, the first time.
    balanced: Option<Instant>,
    /// When the upstream's final answer had begun, if a lane has looked at the clock then.
    answered: Option<Instant>,
    taken: Option<Taken>,
    source: SocketAddr,
    /// Which of several addresses is the first to be tried.
    turn: usize,
    tries: u32,
    body: Reading,
    /// Its line is in the log.
    ended: bool,
}

/// How far a request's body has been read.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// Nothing of it has.
    Untouched,
    /// A lane is at it: so many bytes in this try, since the next begins with the first again.
    Passing(u64),
    /// All of it was waited for, and found not to be too much.
    Gathered,
}

/// Which route a request takes.
#[derive(Clone, Copy, Debug)]
struct Taken {
    route: RouteIndex,
    /// How much of its normal path the route matched.
    prefix: usize,
}

impl Exchange {
    /// Begins a request, on the newest snapshot its worker has.
    pub(crate) fn begin(client: &Arc<Client>, request: Request) -> Box<Exchange> {
        let station = &client.station;
        station.counters.count_request();
        let source = forwarded::source(client, &request.head);
        Box::new(Exchange {
            snapshot: station.snapshots.pin(),
            head: request.head,
            terms: request.terms,
            id: station.ids.next(),
            started: request.started,
            balanced: None,
            answered: None,
            taken: None,
            source,
            turn: station.ids.turn(),
            tries: 0,
            body: Reading::Untouched,
            ended: false,
            client: client.clone(),
        })
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) fn options(&self) -> &Options {
        &self.client.station.options
    }

    pub(crate) fn snapshot(&self) -> &Pinned {
        &self.snapshot
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    pub(crate) fn terms(&self) -> Terms {
        self.terms
    }

    /// Whether the connection may carry another request, were this one answered now, with however
    /// much of its body.
    pub(crate) fn keeps_alive(&self) -> bool {
        let survives = match self.body {
            Reading::Untouched => self.terms.survives_unread(),
            Reading::Passing(received) => self.terms.survives_from(received),
            Reading::Gathered => true,
        };
        survives && self.terms.keep_alive && !*self.client.station.draining.borrow()
    }

    /// Whether the connection goes on behind the answer that has been decided about.
    pub(crate) fn is_kept(&self) -> bool {
        self.terms.keep_alive
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    /// Where the client is, as a trusted peer tells it. The port is 0 where that is not told.
    pub(crate) fn source(&self) -> SocketAddr {
        self.source
    }

    /// The client's address.
    pub(crate) fn client_ip(&self) -> IpAddr {
        self.source.ip()
    }

    /// Remembers the route that was found in its snapshot.
    pub(crate) fn take(&mut self, route: RouteIndex, prefix: usize) {
        self.taken = Some(Taken { route, prefix });
    }

    pub(crate) fn route(&self) -> Option<&CompiledRoute> {
        self.snapshot.routes.get(self.taken?.route)
    }

    /// The plugins it meets: those of its route, or those that all requests do.
    pub(crate) fn plugins(&self) -> &Chain {
        self.plugins_in(&self.snapshot)
    }

    /// The same, of its snapshot as held by another.
    pub(crate) fn plugins_in<'s>(&self, snapshot: &'s Pinned) -> &'s Chain {
        let route = self.taken.and_then(|taken| snapshot.routes.get(taken.route));
        route.map_or(snapshot.plugins.global(), |route| snapshot.plugins_of(route))
    }

    /// Where the request goes.
    pub(crate) fn service(&self) -> Option<&CompiledService> {
        self.route()?.service.as_deref()
    }

    /// Whether it goes to a service of gRPC.
    pub(crate) fn is_to_grpc(&self) -> bool {
        self.service().is_some_and(CompiledService::is_grpc)
    }

    /// How many bytes of the normal path the route takes off. None if it takes off
    /// nothing, or did not match by its path.
    pub(crate) fn prefix(&self) -> Option<usize> {
        let strips = self.route().is_some_and(|route| route.strip_path);
        self.taken.map(|taken| taken.prefix).filter(|prefix| strips && *prefix > 0)
    }

    /// Counts a try. The first ends what the gateway itself took.
    pub(crate) fn begin_try(&mut self) {
        self.tries += 1;
        if let Reading::Passing(received) = &mut self.body {
            *received = 0;
        }
        self.balanced.get_or_insert_with(Instant::now);
    }

    /// When the upstream had been chosen, the first time.
    pub(crate) fn balanced(&self) -> Option<Instant> {
        self.balanced
    }

    /// Tries so far that count against the service's retries.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// Whose turn it is of several addresses: another's with every request, and with every try.
    pub(crate) fn turn(&self) -> usize {
        self.turn.wrapping_add(self.tries as usize)
    }

    /// Forgets the last try: it failed for no reason of the upstream's.
    pub(crate) fn forgive_try(&mut self) {
        self.tries = self.tries.saturating_sub(1);
    }

    /// All of the body has come: it is so long.
    pub(crate) fn gather(&mut self, length: u64) {
        self.terms.framing = Framing::Length(length);
        self.terms.expects_continue = false;
        self.body = Reading::Gathered;
    }

    /// Nothing more can be said on the connection behind the answer.
    pub(crate) fn part(&mut self) {
        self.terms.keep_alive = false;
    }

    /// Counts body bytes that came; false when they are more than is allowed.
    pub(crate) fn receive(&mut self, bytes: usize) -> bool {
        let before = match self.body {
            Reading::Gathered => return true,
            Reading::Untouched if bytes == 0 => return true,
            Reading::Untouched => 0,
            Reading::Passing(received) => received,
        };
        let received = before.saturating_add(bytes as u64);
        self.body = Reading::Passing(received);
        self.options().max_body.is_none_or(|most| received <= most)
    }

    /// From the request's first byte until the upstream had been chosen.
    pub(crate) fn proxy_latency(&self) -> Duration {
        self.balanced.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.started))
    }

    /// The upstream's final answer has begun.
    pub(crate) fn note_answer(&mut self, at: Instant) {
        self.answered = Some(at);
    }

    /// From then until the upstream's answer began.
    pub(crate) fn upstream_latency(&self) -> Duration {
        let until = self.answered.unwrap_or_else(Instant::now);
        self.balanced.map_or(Duration::ZERO, |at| until.saturating_duration_since(at))
    }

    /// From the request's first byte until now.
    pub(crate) fn latency(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }

    /// The exchange is over. Only the first time counts.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(log) = &self.client.station.access_log {
            log.record(self.client_ip(), &self.id, Said::Head(&self.head), outcome);
        }
    }
}

/// Whatever cut a request short, it ends in the log.
impl Drop for Exchange {
    fn drop(&mut self) {
        self.end(Outcome::GONE);
    }
}
