//! Protocols and their groups; the other closed sets of words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::schema::{Kind, Literal, Rule, Typed};

/// Declares an enum whose variants are words on the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            /// Every one there is, in the order messages list them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Typed for $name {
            const KIND: Kind = Kind::String;
            const RULES: &'static [Rule] = &[Rule::OneOf(&[$(Literal::Text($word)),*])];

            fn text(&self) -> Option<&str> {
                Some(self.as_str())
            }
        }
    };
}

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
