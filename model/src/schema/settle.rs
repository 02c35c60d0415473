//! What follows from what a client said.
//!
//! A record that is changed has fields the client did not speak of. Some say something only when they
//! are said: a password is hashed when it is given, and not each time its credential is changed.

use super::{Object, Schema};
use crate::violation::Violations;

/// What a client said of a record.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The fields, as they came.
    pub fields: &'a Object,
    /// Whether values are to be transformed: not where they are what a node has kept before.
    pub is_plain: bool,
}

/// Writes into `record`, in which what was said is already, what follows from it.
///
/// # Errors
/// If what was said cannot be said by itself.
pub fn settle(schema: &Schema, said: Said<'_>, record: &mut Object) -> Result<(), Violations> {
    if let Some(settle) = schema.settle {
        settle(said.fields, record)?;
    }
    match schema.transform.filter(|_| said.is_plain) {
        Some(transform) => transform(said.fields, record),
        None => Ok(()),
    }
}
