//! The pipeline: what happens to a request, in the order it happens.
//!
//! It decides and knows no lane, no socket and no runtime.

pub mod head; // a message head as received, and what was changed
pub mod hygiene; // what is refused or stripped before anyone looks

pub(crate) mod exchange; // one request and its response passing through
pub(crate) mod access; // find its route; maybe reply
pub(crate) mod upstream; // pick an address; decide on retries
pub(crate) mod buffering; // whether bodies are waited for
pub(crate) mod request; // what goes upstream
pub(crate) mod response; // what comes back
pub(crate) mod log; // counted, and logged
pub(crate) mod restraint; // how much of it is logged when there is too much
pub(crate) mod date; // what time it is, as messages say it
pub(crate) mod reply; // responses the gateway writes itself
pub(crate) mod preview; // what would become of a request, without one

mod forwarded; // where a request comes from, as upstreams are told
pub(crate) mod path; // the upstream's path
pub(crate) mod printed; // numbers and addresses as text

#[cfg(test)]
mod conformance; // what Kong answers, case by case

/// Text being put together: mostly short, so mostly on the stack.
type Text = smallvec::SmallVec<[u8; 256]>;
