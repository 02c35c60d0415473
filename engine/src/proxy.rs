//! The pipeline: what happens to a request, in the order it happens.
//!
//! It decides and knows no lane, no socket and no runtime.

pub mod head; // a message head as received, and what was changed
pub mod hygiene; // what is refused or stripped before anyone looks
