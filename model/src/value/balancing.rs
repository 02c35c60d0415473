//! How an upstream spreads load over its targets, and finds out how they are.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::schema::{Kind, Rule, Typed};

words! {
    /// How the next target is chosen.
    Algorithm {
        /// By a hash of the request, so that the same go to the same target.
        ConsistentHashing = "consistent-hashing",
        /// The one with the fewest requests, for its weight.
        LeastConnections = "least-connections",
        /// In turn, by weight.
        RoundRobin = "round-robin",
        /// The one that has answered fastest of late.
        Latency = "latency",
    }
}

words! {
    /// What requests are told apart by.
    HashOn {
        /// Nothing.
        None = "none",
        /// Who asks, by their credential.
        Consumer = "consumer",
        /// The address they ask from.
        Ip = "ip",
        /// A header.
        Header = "header",
        /// A cookie.
        Cookie = "cookie",
        /// The path.
        Path = "path",
        /// An argument of the query.
        QueryArg = "query_arg",
        /// A group of the route's regular expression.
        UriCapture = "uri_capture",
    }
}

words! {
    /// What a target is asked by.
    ProbeType {
        /// A connection.
        Tcp = "tcp",
        /// A request.
        Http = "http",
        /// A request over TLS.
        Https = "https",
        /// A call of the health service.
        Grpc = "grpc",
        /// The same over TLS.
        Grpcs = "grpcs",
    }
}

/// The status of an answer, 100 to 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HttpStatus(u16);

impl HttpStatus {
    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for HttpStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            status @ 100..=999 => Ok(Self(status)),
            _ => Err(de::Error::custom("value should be between 100 and 999")),
        }
    }
}

impl Typed for HttpStatus {
    const KIND: Kind = Kind::Integer;
    const RULES: &'static [Rule] = &[Rule::Between(100, 999)];
}
