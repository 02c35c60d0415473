//! What the lane needs of a runtime: connections, and nothing else.
//!
//! Streams are polled and timers come with the client's connection, so that a lane written
//! over [`Io`] runs wherever something wakes its tasks.

use crate::door::Transport;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// A runtime's way to upstreams.
pub(crate) trait Io: 'static {
    /// A connection to one.
    type Stream: Transport;

    /// Connects. What small messages are written must leave at once.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// The worker's own runtime.
pub(crate) struct Tokio;

impl Io for Tokio {
    type Stream = TcpStream;

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
