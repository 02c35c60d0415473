//! Entities that are gone after a while.
//!
//! Clients say, and are shown, how many seconds are left. What is kept, sent to data planes and written to
//! files is the second at which it is over, so that whoever has it knows when to stop, however long it was
//! on its way. Nobody reads a clock here.

use serde_json::Value;

use super::check::whole;
use super::{Field, Invalid, Object, Rule, Schema};
use crate::value::Timestamp;

/// The most seconds something can last: three years.
pub(super) const LONGEST: i64 = 100_000_000;

impl Schema {
    /// The field that says when it is over, where there is one.
    pub fn ttl(&self) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.is_ttl())
    }

    /// Writes into a record when it is over, if this is a change in which a client `said` how long it
    /// is to last. Zero is for ever.
    ///
    /// # Errors
    /// If it is not a number of seconds that something can last.
    pub fn begin_ttl(
        &self,
        said: &Object,
        record: &mut Object,
        now: Timestamp,
    ) -> Result<(), Invalid> {
        let Some((field, ttl)) = self.ttl().and_then(|field| Some((field, said.get(field.name)?)))
        else {
            return Ok(());
        };
        let over = match (ttl, whole(ttl)) {
            (Value::Null, _) | (_, Some(0)) => Value::Null,
            (_, Some(seconds @ 1..=LONGEST)) => (now.seconds() + seconds).into(),
            _ => {
                return Err(Invalid(format!("must be an integer between 0 and {LONGEST}")));
            }
        };
        record.insert(field.name.to_owned(), over);
        Ok(())
    }

    /// Puts the seconds that are left in the place of the second at which it is over. The clock is only
    /// asked where there is such a second.
    pub(super) fn show_ttl(&self, record: &mut Object, now: &dyn Fn() -> Timestamp) {
        let Some(field) = self.ttl() else { return };
        if let Some(over) = record.get(field.name).and_then(Value::as_i64) {
            let left = over.saturating_sub(now().seconds()).max(0);
            record.insert(field.name.to_owned(), left.into());
        }
    }
}

impl Field {
    /// Whether it is a second at which something is over.
    pub(super) fn is_ttl(&self) -> bool {
        self.all_rules().any(|rule| matches!(rule, Rule::Expiry))
    }
}
