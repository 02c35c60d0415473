//! The data plane. Modules are listed in the order a request meets them.

#![deny(unsafe_code)]

pub mod options; // what is fixed at start
mod start; // workers, background, and the handle on both

mod worker; // a pinned core accepts the connection
pub mod door; // a connection's life: wait, read one head, let it be carried, repeat
pub mod proxy; // the pipeline: what happens to a request, in order
pub mod snapshot; // the frozen configuration this request will see
pub mod router; // which route?
mod plugins; // what is done with it besides
mod lanes; // what carries a request
mod descriptors; // how many are left, and for whom
mod resolve; // names to addresses, in the background
mod metrics; // what each worker counts

pub use metrics::{StreamStats, WorkerStats};
pub use options::Options;
pub use snapshot::{RouterOptions, judge};
pub use start::{Engine, Handle, IoInUse, Meter, StartError, Stats};
pub use worker::listen::ListenError;
pub use worker::tls::TlsError;
