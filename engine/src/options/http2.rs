//! Limits that HTTP/2 needs beyond those of every connection.

/// How clients are treated that speak HTTP/2. What holds for HTTP/1 holds here, too: how large a
/// head may be, how long it may take, how long a client may pause, how long a connection may be idle and how
/// many requests it may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Requests at a time on one connection: nginx's `http2_max_concurrent_streams`.
    pub streams: u32,
}

impl Default for Http2 {
    /// nginx's.
    fn default() -> Http2 {
        Http2 { streams: 128 }
    }
}
