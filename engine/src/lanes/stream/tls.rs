//! TLS on either side of a stream: opened for routes that say `tls`, spoken with services that
//! do.
//!
//! The certificate a client is shown is looked up as for requests, by the terminator that serves
//! those as well; what an upstream must show is compiled with its service.

use super::socket::{Polled, Socket};
use super::{Desk, Failure};
use crate::resolve::literal;
use crate::snapshot::UpstreamTls;
use crate::snapshot::upstream_tls::Finding;
use crate::worker::tls::{Alpn, Offer};
use boring::error::ErrorStack;
use boring::ssl::{Ssl, SslContext, SslMethod, SslMode, SslVerifyMode, SslVersion};
use std::rc::Rc;
use tokio_boring::{SslStream, SslStreamBuilder};

/// A connection after its handshake.
pub(super) type Secured = SslStream<Polled>;

/// Shakes hands with a client that has said `ahead` already.
pub(super) async fn open(
    desk: &Desk,
    socket: Rc<Socket>,
    ahead: Vec<u8>,
) -> Result<Secured, Failure> {
    let station = &desk.station;
    let shaken = async {
        let Some(terminator) = &station.terminator else {
            return Err("no listener was to speak it".to_owned());
        };
        let offer = Offer { snapshots: station.snapshots.clone(), alpn: Alpn::Any };
        let ssl = terminator.begin(offer).map_err(|error| error.to_string())?;
        let stream = Polled::new(socket, ahead);
        let handshake = station.pace.paced(SslStreamBuilder::new(ssl, stream).accept());
        let limit = super::far(station.options.door.head_timeout);
        let shaken = monoio::time::timeout(limit, handshake).await;
        let shaken = shaken.map_err(|_| "it took too long".to_owned())?;
        shaken.map_err(|error| error.to_string())
    };
    let shaken = shaken.await;
    station.counters.count_handshake(shaken.is_ok());
    shaken.map_err(Failure::Handshake)
}

/// What handshakes with upstreams begin with.
pub(crate) struct Connector(SslContext);

impl Connector {
    /// One for all threads.
    pub(crate) fn new() -> Result<Connector, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls())?;
        context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        // Looked at when the handshake is over, as for requests.
        context.set_verify(SslVerifyMode::NONE);
        context.set_mode(
            SslMode::AUTO_RETRY
                | SslMode::ACCEPT_MOVING_WRITE_BUFFER
                | SslMode::ENABLE_PARTIAL_WRITE
                | SslMode::RELEASE_BUFFERS,
        );
        Ok(Connector(context.build()))
    }

    /// A handshake that asks for this name, and shows what it is told to.
    fn begin(&self, demands: &UpstreamTls, name: &str) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.0)?;
        if literal(name).is_none() {
            ssl.set_hostname(name)?;
        }
        if let Some(pair) = demands.client() {
            ssl.set_certificate(pair.leaf())?;
            ssl.set_private_key(pair.key())?;
            pair.intermediates().iter().try_for_each(|link| ssl.add_chain_cert(link))?;
        }
        Ok(ssl)
    }
}

/// Shakes hands with an upstream, and looks at what it shows.
pub(super) async fn connect(
    desk: &Desk,
    socket: Rc<Socket>,
    demands: &UpstreamTls,
    name: &str,
) -> Result<Secured, String> {
    let ssl = desk.station.connector.begin(demands, name).map_err(|error| error.to_string())?;
    let stream = Polled::new(socket, Vec::new());
    let shaken = SslStreamBuilder::new(ssl, stream).connect().await;
    let stream = shaken.map_err(|error| error.to_string())?;
    let found = demands.inspection(literal(name))(stream.ssl());
    let found = found.as_ref().and_then(|found| found.downcast_ref::<Finding>());
    match found.map(|found| &found.verdict) {
        Some(Ok(())) => Ok(stream),
        Some(Err(why)) => Err(why.to_string()),
        None => Err("its certificate was not looked at".to_owned()),
    }
}
