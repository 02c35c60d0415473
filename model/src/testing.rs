//! What the tests of every crate share.

pub mod cases; // the .case runner
