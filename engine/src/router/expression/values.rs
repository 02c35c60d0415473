//! What fields hold: segments of the path, arguments of the query, lower case.

use memchr::memchr_iter;
use percent_encoding::percent_decode;
use smallvec::SmallVec;

/// Kong reads no more arguments than that (`lua_max_uri_args`).
const MOST_ARGUMENTS: usize = 100;

/// Text short enough is kept without allocating.
pub(super) type Buffer = SmallVec<[u8; 128]>;

/// The path behind its first slash, without those at the end; none if that is nothing.
fn inner(path: &[u8]) -> Option<&[u8]> {
    let path = path.strip_prefix(b"/")?;
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    path.get(..end)
}

/// How many segments a path has.
pub(super) fn segments(path: &[u8]) -> usize {
    inner(path).map_or(0, |path| memchr_iter(b'/', path).count() + 1)
}

/// The segments of a path from one to another, with the slashes between them; none if
/// there are not as many.
pub(super) fn segments_of(path: &[u8], first: usize, last: usize) -> Option<&[u8]> {
    let path = inner(path)?;
    let mut slashes = memchr_iter(b'/', path);
    let start = match first.checked_sub(1) {
        Some(before) => slashes.nth(before)? + 1,
        None => 0,
    };
    if let Some(between) = last.checked_sub(first)?.checked_sub(1) {
        slashes.nth(between)?;
    }
    path.get(start..slashes.next().unwrap_or(path.len()))
}

/// Text of a query, decoded if it needs to be.
pub(super) enum Value<'q> {
    Raw(&'q [u8]),
    Decoded(Buffer),
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Value::Raw(text) => text,
            Value::Decoded(text) => text,
        }
    }
}

/// The values of all arguments of this name, in order; empty for one without a `=`.
pub(super) fn query_values<'q>(query: &'q [u8], name: &'q [u8]) -> impl Iterator<Item = Value<'q>> {
    // OpenResty skips arguments without a name, and does not count them.
    let named = query.split(|byte| *byte == b'&').map(split).filter(|(name, _)| !name.is_empty());
    let arguments = named.take(MOST_ARGUMENTS);
    arguments.filter(move |(raw, _)| decoded(raw).as_ref() == name).map(|(_, raw)| decoded(raw))
}

/// An argument's name and value, as sent.
fn split(argument: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = argument.splitn(2, |byte| *byte == b'=');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn decoded(raw: &[u8]) -> Value<'_> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Value::Raw(raw);
    }
    let mut text = Buffer::new();
    for (at, words) in raw.split(|byte| *byte == b'+').enumerate() {
        text.extend((at > 0).then_some(b' '));
        text.extend(percent_decode(words));
    }
    Value::Decoded(text)
}

/// The text in lower case, as Unicode has it.
pub(super) fn lower(text: &str) -> Buffer {
    if !text.is_ascii() {
        return Buffer::from_vec(text.to_lowercase().into_bytes());
    }
    let mut lowered = Buffer::from_slice(text.as_bytes());
    lowered.make_ascii_lowercase();
    lowered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_between_the_first_slash_and_the_last() {
        let count = |path: &str| segments(path.as_bytes());
        assert_eq!((count("/"), count(""), count("//"), count("*")), (0, 0, 0, 0));
        assert_eq!((count("/a"), count("/a/"), count("/a//b"), count("//a")), (1, 1, 3, 2));
    }

    #[test]
    fn segments_come_joined() {
        let of = |path: &'static str, first, last| {
            segments_of(path.as_bytes(), first, last).map(|bytes| String::from_utf8_lossy(bytes))
        };
        assert_eq!(of("/a/b/c/", 0, 0).as_deref(), Some("a"));
        assert_eq!(of("/a/b/c/", 2, 2).as_deref(), Some("c"));
        assert_eq!(of("/a/b/c/", 0, 1).as_deref(), Some("a/b"));
        assert_eq!(of("/a/b/c/", 1, 2).as_deref(), Some("b/c"));
        assert_eq!(of("/a/b/c/", 1, 3), None);
        assert_eq!(of("/a/b/c/", 3, 3), None);
        assert_eq!(of("/a//c", 1, 1).as_deref(), Some(""));
        assert_eq!(of("/", 0, 0), None);
        assert_eq!(of("/a", usize::MAX, usize::MAX), None);
    }

    #[test]
    fn arguments_are_decoded_as_by_openresty() {
        let of = |query: &str, name: &str| -> Vec<String> {
            let values = query_values(query.as_bytes(), name.as_bytes());
            values.map(|value| String::from_utf8_lossy(value.as_ref()).into_owned()).collect()
        };
        assert_eq!(of("a=1&b=2&a=3", "a"), ["1", "3"]);
        assert_eq!(of("a&a=&=x&&a==", "a"), ["", "", "="]);
        assert_eq!(of("%61=%2B+%zz%4", "a"), ["+ %zz%4"]);
        assert_eq!(of("A=1", "a"), [""; 0]);
        let many = "&=x&b".repeat(99);
        assert_eq!(of(&format!("{many}&a=1&a=2"), "a"), ["1"]);
    }
}
