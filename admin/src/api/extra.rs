//! What is not about entities.

pub(super) mod info; // what this node is
pub(super) mod nodes; // how the data planes fare
pub(super) mod schemas; // what entities look like
