//! Hybrid mode: what joins a control plane and its data planes.
//!
//! Modules are listed from the wire up to the two ends.

#![forbid(unsafe_code)]

pub mod plain; // a node's own small files
pub mod identity; // who a data plane is
pub mod trust; // whom it believes
pub mod tls; // whom each end accepts
pub mod protocol; // what they say
mod log; // how it is logged
pub mod server; // the control plane's end
pub mod client; // the data plane's end
pub mod cache; // what a data plane serves after a restart

pub use client::Client;
pub use ed25519; // keys are part of this crate's types
pub use identity::Identity;
pub use server::Server;
pub use tls::generate::{GenerateError, KeyPairPem, gen_cert};
