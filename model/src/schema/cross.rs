//! What several fields of a record must obey together. What fails is said in
//! the record's `@entity` list, and at a field where one is to blame.
//!
//! A name of a field may be a path (`redis.host`). What is declared of a record that is another in
//! each type is said of the record around it, with the way there before the names, as in Kong.

use serde_json::Value;

use super::rules::quoted;
use super::{Object, Rule};
use crate::Terms;
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
    /// The same, where it is not the same on every node.
    InTerms(fn(&Object, Terms, &mut Violations)),
}

/// Where a check is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The record that is spoken of.
    pub(super) record: &'a Object,
    /// The field of it that names of fields begin in, where that is not the record itself.
    pub(super) within: Option<&'static str>,
    /// What the node takes entities by.
    pub(super) terms: Terms,
}

impl Scope<'_> {
    /// What a field is called in messages.
    fn path(&self, name: &str) -> String {
        self.within.map_or_else(|| name.to_owned(), |within| format!("{within}.{name}"))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        match self.within {
            None => at(self.record, name),
            Some(within) => at(self.record.get(within)?.as_object()?, name),
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(says_something)
    }
}

impl Check {
    /// Whether it speaks of fields by their names, so that it can be run from further out.
    pub(super) fn is_by_name(&self) -> bool {
        !matches!(self, Check::Custom(_) | Check::InTerms(_))
    }

    /// Adds to `found` what is wrong with the fields of a record, given what is
    /// wrong with each of them alone.
    pub(super) fn run(&self, scope: Scope<'_>, found: &mut Violations) {
        let set = |names: &[&str]| names.iter().filter(|name| scope.is_set(name)).count();
        let (holds, words, names) = match self {
            Check::When { field, is, then, must, message } => {
                return when(scope, found, (field, is), (then, must), *message);
            }
            Check::Custom(check) => return check(scope.record, found),
            Check::InTerms(check) => return check(scope.record, scope.terms, found),
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
                (distinct(scope, names), "values of these fields must be distinct", names)
            }
        };
        if !holds {
            let names: Vec<_> = names.iter().map(|name| scope.path(name)).collect();
            found.add_entity(format!("{words}: {}", quoted(&names)));
        }
    }
}

/// Whether a field has a value that is not an empty list or map.
pub(crate) fn is_set(record: &Object, name: &str) -> bool {
    at(record, name).is_some_and(says_something)
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        _ => true,
    }
}

/// What is at the end of a path.
pub(super) fn at<'a>(record: &'a Object, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => record.get(path),
        Some((first, rest)) => at(record.get(first)?.as_object()?, rest),
    }
}

fn when(
    scope: Scope<'_>,
    found: &mut Violations,
    (field, is): (&str, &Rule),
    (then, must): (&str, &Rule),
    message: Option<&str>,
) {
    let path = scope.path(field);
    let applies =
        !found.has_at(&path) && scope.get(field).is_some_and(|value| is.test(value).is_ok());
    let refusal = scope.get(then).and_then(|value| must.test(value).err());
    if let Some(refusal) = refusal.filter(|_| applies) {
        found.set_at(&scope.path(then), refusal.0);
        found.add_entity(message.map_or_else(
            || format!("failed conditional validation given value of field '{path}'"),
            str::to_owned,
        ));
    }
}

fn distinct(scope: Scope<'_>, names: &[&str]) -> bool {
    let set = names.iter().filter(|name| scope.is_set(name));
    let values: Vec<&Value> = set.filter_map(|name| scope.get(name)).collect();
    values.iter().enumerate().all(|(i, value)| values.iter().take(i).all(|other| other != value))
}
