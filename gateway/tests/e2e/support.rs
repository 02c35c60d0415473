//! What the tests are made of.

mod site; // a test's own directory, certificates and turn at the CPUs
mod process; // a gateway that is started, told, killed and started again
mod nodes; // control planes, data planes and nodes by themselves made of it
mod by_hand; // a control plane that says what the test wants said
mod origin; // what requests are proxied to
mod python; // programs that others have written
mod relay; // a link that can be watched
mod http; // requests and replies
pub mod load; // many requests, measured
mod wait; // until something is seen

pub use by_hand::{ByHand, link};
pub use http::{Http, Reply, raw};
pub use nodes::{ControlPlane, DataPlane, DbLess};
pub use origin::{Origin, closing};
pub use process::Process;
pub use python::{Python, Running};
pub use relay::Relay;
pub use site::{Pair, Site, free_port};
pub use wait::{PATIENCE, within};
