//! What several fields of a record must obey together. What fails is said in
//! the record's `@entity` list, and at a field where one is to blame.

use serde_json::Value;

use super::rules::quoted;
use super::{Object, Rule};
use crate::Flavor;
use crate::violation::Violations;

/// A demand on several fields. Empty lists and maps count as unset.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// When `field` obeys `is`, `then` must obey `must`.
    When {
        /// The field that decides. The check is skipped where it is invalid.
        field: &'static str,
        /// What decides.
        is: Rule,
        /// The field that is constrained.
        then: &'static str,
        /// What it must obey.
        must: Rule,
        /// What to say, if not that the value of `field` forbids it.
        message: Option<&'static str>,
    },
    /// One or more of these must be set.
    AtLeastOneOf(&'static [&'static str]),
    /// One of these must be set, and no other.
    ExactlyOneOf(&'static [&'static str]),
    /// No more than one of these may be set.
    AtMostOneOf(&'static [&'static str]),
    /// All of these are set, or none.
    AllOrNone(&'static [&'static str]),
    /// Those of these that are set differ.
    Distinct(&'static [&'static str]),
    /// What cannot be said in the other ways.
    Custom(fn(&Object, &mut Violations)),
    /// The same, where it is not the same in every flavor.
    InFlavor(fn(&Object, Flavor, &mut Violations)),
}

impl Check {
    /// Adds to `found` what is wrong with the fields of `record`, given what is
    /// wrong with each of them alone.
    pub(super) fn run(&self, record: &Object, flavor: Flavor, found: &mut Violations) {
        let set = |names: &[&str]| names.iter().filter(|name| is_set(record, name)).count();
        let (holds, words, names) = match self {
            Check::When { field, is, then, must, message } => {
                return when(record, found, (field, is), (then, must), *message);
            }
            Check::Custom(check) => return check(record, found),
            Check::InFlavor(check) => return check(record, flavor, found),
            Check::AtLeastOneOf(names) => {
                (set(names) > 0, "at least one of these fields must be non-empty", names)
            }
            Check::ExactlyOneOf(names) => {
                (set(names) == 1, "exactly one of these fields must be non-empty", names)
            }
            Check::AtMostOneOf(names) => {
                (set(names) <= 1, "only one or none of these fields must be set", names)
            }
            Check::AllOrNone(names) => {
                let set = set(names);
                (set == 0 || set == names.len(), "all or none of these fields must be set", names)
            }
            Check::Distinct(names) => {
                (distinct(record, names), "values of these fields must be distinct", names)
            }
        };
        if !holds {
            found.add_entity(format!("{words}: {}", quoted(names)));
        }
    }
}

/// Whether a field has a value that is not an empty list or map.
pub(crate) fn is_set(record: &Object, name: &str) -> bool {
    match record.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::Array(elements)) => !elements.is_empty(),
        Some(Value::Object(entries)) => !entries.is_empty(),
        Some(_) => true,
    }
}

fn when(
    record: &Object,
    found: &mut Violations,
    (field, is): (&str, &Rule),
    (then, must): (&str, &Rule),
    message: Option<&str>,
) {
    let applies =
        !found.has(field) && record.get(field).is_some_and(|value| is.test(value).is_ok());
    let refusal = record.get(then).and_then(|value| must.test(value).err());
    if let Some(refusal) = refusal.filter(|_| applies) {
        found.set(then, refusal.0);
        found.add_entity(message.map_or_else(
            || format!("failed conditional validation given value of field '{field}'"),
            str::to_owned,
        ));
    }
}

fn distinct(record: &Object, names: &[&str]) -> bool {
    let values: Vec<&Value> = names
        .iter()
        .filter(|name| is_set(record, name))
        .filter_map(|name| record.get(*name))
        .collect();
    values.iter().enumerate().all(|(i, value)| values.iter().take(i).all(|other| other != value))
}
