//! From what a client sent to the struct: shorthands expanded, defaults filled
//! in, every rule applied, and everything that is wrong reported together.
//!
//! Kong's distinctions hold: missing is not null, nothing is ever coerced, and
//! a key nobody declared is an error.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cross::Scope;
use super::rules::first_refusal;
use super::{Check, Element, Field, Kind, Object, Record, Rule, Schema, Shorthand, alias};
use crate::Terms;
use crate::id::parse_hyphenated;
use crate::value::unrepeated;
use crate::vault::is_reference;
use crate::violation::{Violation, Violations};

const REQUIRED: &str = "required field missing";
const UNKNOWN: &str = "unknown field";

/// How deep a value may nest of which nothing is declared. With what is around it, it must be no deeper
/// than what is read back; see [`crate::encode`].
const DEPTH: usize = 16;

/// The same as [`check_in`], in the default flavor and where there are no plugins.
pub fn check<R: Record + DeserializeOwned>(input: Value) -> Result<R, Violations> {
    check_in(Terms::default(), input)
}

/// The whole write path of a record: JSON in, the struct or all violations out.
///
/// Fields the server fills in must be there: see [`super::stamp()`].
pub fn check_in<R: Record + DeserializeOwned>(terms: Terms, input: Value) -> Result<R, Violations> {
    let Value::Object(input) = input else {
        return Err(Violations::entity("expected a record"));
    };
    let checked = check_object(R::SCHEMA, terms, input)?;
    // The schema is derived from the struct, so this does not fail; if a type's
    // rules and its parser ever disagree, the client learns what the parser said.
    R::deserialize(Value::Object(checked)).map_err(|error| Violations::entity(error.to_string()))
}

/// Checks an object against a schema. What comes back has every field, defaults
/// included, and nothing else. A field of another flavor is unknown.
pub fn check_object(schema: &Schema, terms: Terms, input: Object) -> Result<Object, Violations> {
    check_record(schema, terms, input, |_| true)
}

/// The same, of what its fields must obey together only what is to be run here.
fn check_record(
    schema: &Schema,
    terms: Terms,
    mut input: Object,
    is_run: fn(&Check) -> bool,
) -> Result<Object, Violations> {
    let mut found = Violations::default();
    for shorthand in schema.shorthands {
        expand(shorthand, &mut input, &mut found);
    }
    alias::rename(schema, &mut input);
    alias::contradictions(schema, &mut input, &mut found);
    if !found.is_empty() {
        return Err(found); // the fields they stand for would only be missed
    }
    if let Some(prepare) = schema.prepare {
        prepare(&mut input, terms)?;
    }
    let inner = schema.inner(&input, terms);
    let mut record = Object::new();
    for field in schema.fields {
        let given = if field.is_of(terms.flavor) { input.remove(field.name) } else { None };
        let value = given.unwrap_or_else(|| field.absent());
        let checked = match inner.filter(|(typed, _)| typed.name == field.name) {
            Some((_, schema)) => check_inner(field, schema, terms, value),
            None => check_field(field, value),
        };
        let value = checked.unwrap_or_else(|(value, violation)| {
            found.set(field.name, violation);
            value
        });
        record.insert(field.name.to_owned(), value);
    }
    let scope = Scope { record: &record, within: None, terms };
    check_together(schema, scope, is_run, &mut found);
    if let Some((field, schema)) = inner {
        let scope = Scope { within: Some(field.name), ..scope };
        check_together(schema, scope, Check::is_by_name, &mut found);
    }
    // Last, since there may be any number of them, and not all are told then.
    for unknown in input.keys().filter(|key| *key != "updated_at") {
        found.set(unknown, unknown_field(schema, unknown));
    }
    found.or(record)
}

fn check_together(
    schema: &Schema,
    scope: Scope<'_>,
    is_run: fn(&Check) -> bool,
    found: &mut Violations,
) {
    let checks = schema.checks.iter().filter(|check| is_run(check));
    checks.for_each(|check| check.run(scope, found));
}

/// Checks a record that is another in each type, but for what is said of it from further out.
fn check_inner(field: &Field, schema: &Schema, terms: Terms, value: Value) -> Checked {
    match value {
        Value::Object(object) => {
            match check_record(schema, terms, object.clone(), |check| !check.is_by_name()) {
                Ok(record) => Ok(Value::Object(record)),
                Err(violations) => refuse(Value::Object(object), violations.of_value()),
            }
        }
        value => check_field(field, value),
    }
}

fn unknown_field(schema: &Schema, name: &str) -> String {
    match schema.field(name).and_then(|field| field.flavor) {
        Some(flavor) => format!("{UNKNOWN}: it is there where router_flavor = {flavor}"),
        None => UNKNOWN.to_owned(),
    }
}

fn expand(shorthand: &Shorthand, input: &mut Object, found: &mut Violations) {
    match input.remove(shorthand.name) {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => {
            found.set(shorthand.name, "length must be at least 1");
        }
        Some(Value::String(text)) => (shorthand.expand)(&text, input),
        Some(_) => found.set(shorthand.name, "expected a string"),
    }
}

/// A refused value comes back with the reason: checks across fields still look at it.
type Checked = Result<Value, (Value, Violation)>;

fn check_field(field: &Field, value: Value) -> Checked {
    if value.is_null() {
        return if field.required { refuse(value, REQUIRED) } else { Ok(value) };
    }
    if field.referenceable && value.as_str().is_some_and(is_reference) {
        return Ok(value);
    }
    check_value(field.kind, field.all_rules(), value)
}

fn check_element(element: &Element, value: Value) -> Checked {
    if value.is_null() {
        return refuse(value, REQUIRED);
    }
    check_value(element.kind, element.rules.iter(), value)
}

/// Shape first, then what is inside, then the rules.
fn check_value<'a>(kind: Kind, rules: impl Iterator<Item = &'a Rule>, value: Value) -> Checked {
    let value = match (kind, value) {
        (Kind::String, value @ Value::String(_))
        | (Kind::Boolean, value @ Value::Bool(_))
        | (Kind::Number, value @ Value::Number(_)) => whole_or_same(value),
        (Kind::Json, value) if is_deeper(&value, DEPTH) => {
            return refuse(value, "nested too deeply");
        }
        (Kind::Json, value) => whole_or_same(value),
        (Kind::Integer, value @ Value::Number(_)) => match whole(&value) {
            Some(whole) => whole.into(),
            None => return refuse(value, expected(kind)),
        },
        (Kind::Array(element), Value::Array(values)) => check_elements(element, values)?,
        (Kind::Set(element), Value::Array(values)) => check_elements(element, unrepeated(values))?,
        (Kind::Map { keys, values }, Value::Object(entries)) => {
            check_entries(keys, values, entries)?
        }
        (Kind::Record(schema), Value::Object(object)) => {
            // Records inside of others are the same on every node.
            match check_object(schema, Terms::default(), object.clone()) {
                Ok(record) => Value::Object(record),
                Err(violations) => return refuse(Value::Object(object), violations),
            }
        }
        // Of which type it is, is not known, and that is refused elsewhere.
        (Kind::OfType { .. }, value @ Value::Object(_)) => value,
        (Kind::Foreign { .. }, Value::Object(object)) => check_foreign(object)?,
        (kind, value) => return refuse(value, expected(kind)),
    };
    match first_refusal(kind, rules, &value) {
        Some(invalid) => refuse(value, invalid.0),
        None => Ok(value),
    }
}

fn check_elements(element: &Element, values: Vec<Value>) -> Checked {
    let mut checked = Vec::with_capacity(values.len());
    let violations = Violation::list(values.into_iter().map(|value| {
        let (value, violation) = match check_element(element, value) {
            Ok(value) => (value, None),
            Err((value, violation)) => (value, Some(violation)),
        };
        checked.push(value);
        violation
    }));
    let checked = Value::Array(checked);
    match violations {
        None => Ok(checked),
        Some(violations) => refuse(checked, violations),
    }
}

/// The first bad key or value speaks for the whole map, as in Kong.
fn check_entries(keys: &Element, values: &Element, entries: Object) -> Checked {
    let mut checked = Object::new();
    for (key, value) in &entries {
        let entry = check_element(keys, key.as_str().into())
            .and_then(|_| check_element(values, value.clone()));
        match entry {
            Ok(value) => checked.insert(key.clone(), value),
            Err((_, violation)) => return refuse(Value::Object(entries), violation),
        };
    }
    Ok(Value::Object(checked))
}

/// Only the id matters; other keys were for whoever resolved it.
fn check_foreign(mut object: Object) -> Checked {
    let id = object.remove("id").unwrap_or_default();
    let message = match id.as_str().map(parse_hyphenated) {
        Some(Some(_)) => return Ok(Value::Object(Object::from_iter([("id".to_owned(), id)]))),
        None if id.is_null() => "missing primary key",
        _ => "expected a valid UUID",
    };
    refuse(Value::Object(object), Violations::field("id", message))
}

fn refuse(value: Value, violation: impl Into<Violation>) -> Checked {
    Err((value, violation.into()))
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "expected a string",
        Kind::Integer => "expected an integer",
        Kind::Number => "expected a number",
        Kind::Boolean => "expected a boolean",
        Kind::Json => "expected a value",
        Kind::Array(_) => "expected an array",
        Kind::Set(_) => "expected a set",
        Kind::Map { .. } => "expected a map",
        Kind::Record(_) | Kind::OfType { .. } | Kind::Foreign { .. } => "expected a record",
    }
}

/// The number without a fraction that this is, however it was written: `1e3` is 1000.
pub(super) fn whole(value: &Value) -> Option<i64> {
    // Beyond 2^53 a float no longer names one integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = |number: &f64| number.fract() == 0.0 && number.abs() <= EXACT;
    value.as_i64().or_else(|| value.as_f64().filter(exact).map(|number| number as i64))
}

/// Whether lists and objects are in each other beyond this depth.
fn is_deeper(value: &Value, depth: usize) -> bool {
    match (value, depth.checked_sub(1)) {
        (Value::Array(_) | Value::Object(_), None) => true,
        (Value::Array(values), Some(left)) => values.iter().any(|value| is_deeper(value, left)),
        (Value::Object(entries), Some(left)) => {
            entries.values().any(|value| is_deeper(value, left))
        }
        _ => false,
    }
}

/// Clients decode `1.0` into integers badly, so what is whole is written whole.
fn whole_or_same(value: Value) -> Value {
    match value {
        Value::Number(_) => whole(&value).map_or(value, Value::from),
        Value::Array(values) => values.into_iter().map(whole_or_same).collect(),
        Value::Object(entries) => Value::Object(
            entries.into_iter().map(|(key, value)| (key, whole_or_same(value))).collect(),
        ),
        other => other,
    }
}
