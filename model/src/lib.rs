//! The words of the domain: what an operator can say, and how it is written
//! down, compared and sent. Pure data: no I/O, no clock, no runtime.
//!
//! Modules are listed in reading order.

#![forbid(unsafe_code)]

// What `#[derive(Record)]` writes says `::model`, here too.
extern crate self as model;

pub mod id; // ids that do not mix
pub mod flavor; // how routes may be written
pub mod schema; // a schema is data
pub mod catalog; // the types of plugins there are
pub mod terms; // what a node takes entities by
pub mod violation; // everything wrong with an input, at once
pub mod value; // field types that are impossible to hold wrong
pub mod entity; // what every entity has
pub mod entities; // the list of entities
pub mod config; // all entities, as shared immutable tables
pub mod references; // does everything pointed at exist, is every name free
pub mod encode; // an entity's bytes, written once; the content hash
pub mod revision; // (epoch, version, hash) and a Config
pub mod delta; // the step from one revision to another
pub mod declarative; // a whole configuration as one document
pub mod judge; // would the engine accept this?
pub mod vault; // secrets that are kept elsewhere
pub mod explain; // why a request takes the route it takes
pub mod vitals; // how things fare: verdicts and node reports
pub mod causes; // an error with its causes, for a log
pub mod severity; // what is worse than an error, in a log
#[cfg(any(test, feature = "testing"))]
pub mod testing; // builders and the .case runner

pub use catalog::Catalog;
pub use config::Config;
pub use delta::Delta;
pub use entities::EntityKind;
pub use entity::{Entity, Listed};
pub use flavor::Flavor;
pub use id::Id;
pub use revision::{Revision, RevisionId};
pub use terms::Terms;

/// The Kong release whose clients, files and dashboards work here. It is what
/// those clients see as `version`; see [`VERSION`] for ours.
pub const COMPAT: &str = "3.10.0";

/// Our own version: `gateway version`, `gateway_version` of `GET /`, and what
/// a control plane and its data planes compare.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
