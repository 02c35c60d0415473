//! Protocols and their groups; how they carry paths and requests.

words! {
    /// What a route accepts and how a service is spoken to.
    Protocol {
        /// gRPC over cleartext HTTP/2.
        Grpc = "grpc",
        /// gRPC over TLS.
        Grpcs = "grpcs",
        /// Cleartext HTTP.
        Http = "http",
        /// HTTP over TLS.
        Https = "https",
        /// A plain TCP stream.
        Tcp = "tcp",
        /// A TCP stream inside TLS that ends here.
        Tls = "tls",
        /// A TLS stream passed on unopened.
        TlsPassthrough = "tls_passthrough",
        /// Datagrams.
        Udp = "udp",
    }
}

impl Protocol {
    /// The groups a route's protocols may not mix, by their words.
    pub const GROUPS: &'static [&'static [&'static str]] =
        &[&["http", "https"], &["tcp", "tls", "udp"], &["tls_passthrough"], &["grpc", "grpcs"]];

    /// Whether the connection starts with a TLS handshake.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Grpcs | Self::Https | Self::Tls | Self::TlsPassthrough)
    }

    /// Whether it carries HTTP requests.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs | Self::Http | Self::Https)
    }
}

words! {
    /// How service path, route path and request path are joined.
    PathHandling {
        /// Joined with a slash between them.
        V0 = "v0",
        /// Joined without one. Deprecated.
        V1 = "v1",
    }
}

words! {
    /// The version of HTTP that a client speaks.
    HttpVersion {
        /// One request a connection, and no chunks.
        Http10 = "1.0",
        /// One request at a time.
        Http11 = "1.1",
        /// Many at a time.
        Http2 = "2",
    }
}
