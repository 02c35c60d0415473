//! The data plane. Modules are listed in the order a request meets them.

#![forbid(unsafe_code)]

pub mod door; // a connection's life: wait, read one head, let it be carried, repeat
pub mod proxy; // the pipeline: what happens to a request, in order
