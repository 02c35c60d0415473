//! What the server fills in before an entity is checked. The time is an
//! argument: `model` reads no clock.

use serde_json::Value;
use uuid::Uuid;

use super::{Field, Kind, Object, Rule, Schema};
use crate::Terms;
use crate::value::{PreciseTime, Timestamp};

/// Fills in the `auto` fields: an id, a time of creation and keys where there is none,
/// and always the time of this update. A client's own id and `created_at` stay. The same within a
/// record that is another in each type.
pub fn stamp(schema: &Schema, terms: Terms, input: &mut Object, now: Timestamp) {
    if let Some((field, schema)) = schema.inner(input, terms)
        && let Value::Object(inner) = input.entry(field.name).or_insert_with(|| field.absent())
    {
        stamp(schema, terms, inner, now);
    }
    for field in schema.fields.iter().filter(|field| field.auto) {
        let given = input.get(field.name).is_some_and(|value| !value.is_null());
        if given && field.name != "updated_at" {
            continue;
        }
        if let Some(value) = generate(field, now) {
            input.insert(field.name.to_owned(), value);
        }
    }
}

fn generate(field: &Field, now: Timestamp) -> Option<Value> {
    let by_rule = field.all_rules().find_map(|rule| match (rule, field.kind) {
        (Rule::Uuid, _) => Some(Uuid::new_v4().to_string().into()),
        (Rule::Timestamp, Kind::Number) => Some(PreciseTime::from(now).to_json()),
        (Rule::Timestamp, _) => Some(now.seconds().into()),
        _ => None,
    });
    by_rule.or_else(|| matches!(field.kind, Kind::String).then(|| token().into()))
}

/// 32 letters and digits nobody can guess: 24 random bytes in base 64, whose other two digits are
/// letters as well.
fn token() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789fO";
    let uuids = [Uuid::new_v4(), Uuid::new_v4()];
    // Bytes 6 and 8 say that they are random, and so are not.
    let random = uuids.iter().flat_map(|uuid| {
        let bytes = uuid.as_bytes().iter().enumerate();
        bytes.filter(|(at, _)| !matches!(at, 6 | 8)).map(|(_, byte)| *byte)
    });
    let bits = random.take(24).flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let digit = |six: &[u8]| {
        let number = six.iter().fold(0, |number, bit| number << 1 | usize::from(*bit));
        char::from(DIGITS[number % DIGITS.len()])
    };
    bits.chunks(6).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_letters_and_digits_and_never_the_same() {
        let (one, other) = (token(), token());
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{one}");
        assert_ne!(one, other);
    }
}
