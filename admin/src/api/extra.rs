//! What is not about entities, and what is special about some.

pub(super) mod info; // what this node is
pub(super) mod nodes; // how the data planes fare
pub(super) mod schemas; // what entities look like
pub(super) mod certificates; // with the names they are shown for
pub(super) mod authorities; // which services name in lists
pub(super) mod consumers; // by what somebody else calls them
pub(super) mod targets; // which have URLs below their upstream only
pub(super) mod tags; // every tag, and what has it
pub(super) mod absent; // what only Kong has inside
pub(super) mod debug; // which route a request would take
pub(super) mod audit; // who changed what, and the way back
