//! The suites of the Admin API again, on PostgreSQL: what clients see must not tell which database it is.

#[path = "api.rs"]
mod api;
#[path = "certificates.rs"]
mod certificates;
#[path = "crud.rs"]
mod crud;
