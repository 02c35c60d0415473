//! The types of fields, each impossible to hold wrong: a value of such a type
//! has passed its rule, whether it came from a client, a peer or a cache.
//!
//! A type that is text keeps it as it was written, because that is what reading
//! it back must show.

#[macro_use]
mod text; // how a validated string type is declared
#[macro_use]
mod words; // how a closed set of words is declared
mod balancing; // how an upstream spreads load
mod address; // IP addresses, ranges, and what a stream route matches
mod credential; // what credentials and vaults are made of
mod expiry; // when something is over
mod header; // header and cookie names
mod host; // host names, with and without wildcards
mod method; // HTTP methods
mod name; // names and tags of entities
mod number; // numbers and durations
pub(crate) mod pem; // certificates and private keys
pub mod path; // paths, and their normal form
mod protocol; // protocols and their groups
mod referable; // a value, or where it is kept
mod reference; // a pointer to another entity
pub mod target; // the address of a target, in its one form
mod set; // a list without repetitions
mod time; // points in time
pub mod url; // a URL taken apart

pub use address::{AddressMatch, ClientAddress, IpRange, client_address};
pub use balancing::{Algorithm, HashOn, HttpStatus, ProbeType};
pub use credential::{
    ClientType, EnvPrefix, Jwk, JwtAlgorithm, RedirectUri, VaultPrefix, VaultType,
};
pub use expiry::Expiry;
pub use header::{CookieName, HeaderName, RouteHeaderName};
pub use host::{Host, HostAndPort, HostMatch, HostPattern, SniPattern, UpstreamName};
pub use method::Method;
pub use name::{Name, Tag};
pub use number::{Decimal, Millis};
pub use path::{Path, PathMatch, RoutePath};
pub use pem::{CertificatePem, KeyPem, PublicKeyPem};
pub use protocol::{HttpVersion, PathHandling, Protocol};
pub use referable::Referable;
pub use reference::Reference;
pub use set::Set;
pub(crate) use set::unrepeated;
pub use target::TargetAddress;
pub use time::{PreciseTime, Timestamp};
pub use url::AbsoluteUrl;

/// Labels an operator gives to entities, to list them by.
pub type Tags = Set<Tag>;
