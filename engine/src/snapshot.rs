//! The frozen configuration a request sees, from its first byte to its log line.
//!
//! A [`Snapshot`] is made from a revision by [`compile()`], never changed, and
//! shares with its predecessor whatever the revision did not change. How one
//! becomes current is told in [`publish`], how revisions get here in [`follow`].

pub mod compile; // revision × previous snapshot → next snapshot, or every reason why not
pub mod certificates; // which certificate a TLS client is shown
pub mod upstream_tls; // what an upstream is shown, and what it must show
mod plugins; // which plugins requests meet
mod authorities; // the CA certificates there are
mod keys; // do the halves of a key belong together
pub(crate) mod trust; // does a chain end in one of them?
pub mod publish; // the swap, and who has seen it
pub mod follow; // newest revision → compile → publish → verdict
mod remarks; // what is served otherwise than expected
mod overlaps; // a warning about routes that the other order would put otherwise
pub mod judge; // would it compile?
pub mod explain; // which route would a request take, and why no other

pub use certificates::Certificates;
pub use compile::{CompileOptions, RouterOptions, compile};
pub use judge::judge;
pub use publish::{Held, Pinned, Publisher, Reader, Superseded};
pub use upstream_tls::{UpstreamDefaults, UpstreamTls};

use crate::plugins::chain::Chain;
use crate::router::{Pattern, Regexes, RouteTable, StreamTable};
use authorities::Authorities;
use imbl::OrdMap;
use model::entities::{Route, Service};
use model::value::{Host, Name, Path, Protocol};
use model::{Config, Id, RevisionId};
use plugins::Plugins;
use remarks::{News, Remarks};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use trust::Trusts;

/// A compiled revision: all a request may read. Immutable.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The revision it was compiled from.
    pub id: RevisionId,
    /// Which route serves which request.
    pub routes: RouteTable,
    /// Which route serves which stream.
    pub streams: StreamTable,
    /// Which certificate a TLS client is shown.
    pub certificates: Certificates,
    authorities: Authorities,
    pub(crate) plugins: Plugins,
    services: OrdMap<Id<Service>, Arc<CompiledService>>,
    /// What the next revision is compared with.
    config: Config,
    /// How it was compiled, and how the next one is.
    options: CompileOptions,
    remarks: Remarks,
    /// The regular expressions it has, out of all that are in use.
    regexes: Regexes,
    /// Likewise the sets of authorities.
    trusts: Trusts,
}

impl Snapshot {
    /// The snapshot before the first: nothing is configured, no request matches.
    pub fn empty() -> Arc<Snapshot> {
        Arc::default()
    }

    /// The same, for snapshots that are compiled with these options.
    pub fn empty_for(options: impl Into<CompileOptions>) -> Arc<Snapshot> {
        let options = options.into();
        Arc::new(Snapshot { options, ..Snapshot::default() })
    }

    /// The plugins that a route's requests meet.
    pub(crate) fn plugins_of<'s>(&'s self, route: &'s CompiledRoute) -> &'s Chain {
        route.plugins.as_deref().unwrap_or(self.plugins.global())
    }

    /// What an operator should read of it who has read that of `before`.
    fn news_since(&self, before: &Remarks) -> Vec<News> {
        self.remarks.news(before, &self.config)
    }

    /// About how many bytes the regular expressions of its routes take, each counted once.
    pub fn regex_weight(&self) -> usize {
        self.regexes.weight()
    }

    /// A service, whether or not a route leads to it; none that is not enabled.
    pub fn service(&self, id: Id<Service>) -> Option<&Arc<CompiledService>> {
        self.services.get(&id)
    }
}

/// What a request needs to know of the route that serves it.
#[derive(Debug)]
pub struct CompiledRoute {
    /// Which route.
    pub id: Id<Route>,
    /// What it is called.
    pub name: Option<Name>,
    /// Whether the matched path prefix is taken off before the request goes upstream.
    pub strip_path: bool,
    /// Whether the upstream sees the client's `Host`.
    pub preserve_host: bool,
    /// Whether a request's body is waited for before its service is connected to.
    pub request_buffering: bool,
    /// Whether a response may be taken faster than its client reads it.
    pub response_buffering: bool,
    /// The status that answers a request without TLS, where the route demands TLS.
    pub https_only: Option<u16>,
    /// Over what it serves gRPC, if it serves nothing else.
    pub grpc: Option<GrpcOver>,
    /// Where requests go; without one there is nobody to send them to.
    pub service: Option<Arc<CompiledService>>,
    /// The plugins its requests meet, unless they are those that all requests meet.
    pub(crate) plugins: Option<Arc<Chain>>,
    /// Which requests it serves, in the router's terms.
    pub pattern: Arc<Pattern>,
}

/// What a request needs to know of the service it goes to. Defaults are filled in.
#[derive(Debug)]
pub struct CompiledService {
    /// Which service.
    pub id: Id<Service>,
    /// What it is called.
    pub name: Option<Name>,
    /// How it is spoken to. Where a route for requests leads, any of HTTP's, those of gRPC included.
    pub protocol: Protocol,
    /// Its host, as written.
    pub host: Host,
    /// The same as an address, if it is one; otherwise it is a name to be resolved.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Its host, and its port where that is not the protocol's: what it is asked for as.
    pub authority: Box<str>,
    /// What is put before the path of every request.
    pub path: Option<Path>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long it may take to accept more bytes.
    pub write_timeout: Duration,
    /// How long it may take to send more bytes.
    pub read_timeout: Duration,
    /// How many more targets are tried when one fails.
    pub retries: u16,
    /// How TLS is spoken with it, if it is.
    pub tls: Option<UpstreamTls>,
}

impl CompiledService {
    /// Whether it is spoken to over HTTP/2, and has its requests with their target as it came:
    /// that of gRPC. Any other is spoken to over HTTP/1.1, whatever it could.
    pub fn is_grpc(&self) -> bool {
        matches!(self.protocol, Protocol::Grpc | Protocol::Grpcs)
    }
}

/// What a route for gRPC is reached over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcOver {
    /// HTTP/2 with TLS or without.
    Any,
    /// HTTP/2 with TLS only.
    Tls,
}
