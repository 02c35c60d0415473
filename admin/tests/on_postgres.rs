//! The suites of the Admin API again, on PostgreSQL: what clients see must not tell which database it is.

#![allow(clippy::duplicate_mod, reason = "each suite has its support, as when it runs by itself")]

#[path = "api.rs"]
mod api;
#[path = "audit.rs"]
mod audit;
#[path = "certificates.rs"]
mod certificates;
#[path = "crud.rs"]
mod crud;
#[path = "deck.rs"]
mod deck;
#[path = "expiry.rs"]
mod expiry;
#[path = "mistakes.rs"]
mod mistakes;
#[path = "node.rs"]
mod node;
