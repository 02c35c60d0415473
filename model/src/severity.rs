//! What is worse than an error, in the words operators search their logs for.
//!
//! `tracing` has no level above error. An event that one of these names,
//! `error!(name: severity::CRIT, "…")`, is of that severity; every other event
//! is of its level. The name is part of what is known before anything is
//! logged, so asking for it costs nothing.

/// `[crit]`: something that must not be lost is lost or cannot be kept.
pub const CRIT: &str = "crit";

/// `[alert]`: a part of the process is gone, or was wrong in a way that only a bug explains.
pub const ALERT: &str = "alert";

/// `[emerg]`: the process cannot run.
pub const EMERG: &str = "emerg";
