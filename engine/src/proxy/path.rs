//! The path a request has upstream, as Kong 3.10 joins it.
//!
//! [`upstream`] is a function of the service's path, the request's path in normal
//! form and the prefix its route takes off. What it yields is a path again: bytes
//! that no path has are escaped, escapes stay as they are.

use super::Text;

/// Splits a request target at its query: the first `?` after the leading slash.
/// The query keeps its `?`, so that a bare one survives.
pub(crate) fn split_target(target: &[u8]) -> (&[u8], &[u8]) {
    let query = target.iter().skip(1).position(|&byte| byte == b'?');
    query.map_or((target, &[][..]), |at| target.split_at(at + 1))
}

/// Writes the upstream path for `path`, of which `prefix` bytes are taken off;
/// `None` takes nothing off.
pub(crate) fn upstream(service: Option<&str>, path: &[u8], prefix: Option<usize>, out: &mut Text) {
    let base = service.unwrap_or("/").as_bytes();
    let without_slash = base.strip_suffix(b"/");
    let ends_in_slash = path.ends_with(b"/");
    let Some(prefix) = prefix else {
        let rest = path.strip_prefix(b"/").unwrap_or(path);
        return match without_slash {
            Some(_) => escape(&[base, rest], out),
            None if rest.is_empty() => escape(&[base], out),
            None => escape(&[base, path], out),
        };
    };
    let rest = without_leading_dots(path.get(prefix..).unwrap_or_default());
    match (without_slash, rest.first()) {
        (Some(b""), None) => escape(&[base], out),
        (Some(_), None) if ends_in_slash => escape(&[base], out),
        (Some(bare), None) => escape(&[bare], out),
        (Some(bare), Some(b'/')) => escape(&[bare, rest], out),
        (Some(_), Some(_)) => escape(&[base, rest], out),
        (None, None) if ends_in_slash && path.len() > 1 => escape(&[base, b"/"], out),
        (None, None) => escape(&[base], out),
        (None, Some(b'/')) => escape(&[base, rest], out),
        (None, Some(_)) => escape(&[base, b"/", rest], out),
    }
}

/// A prefix may end in the middle of a segment; what it leaves must not climb.
fn without_leading_dots(rest: &[u8]) -> &[u8] {
    match rest {
        b"." | b".." => b"",
        [b'.', b'/', after @ ..] | [b'.', b'.', b'/', after @ ..] => after,
        _ => rest,
    }
}

/// Appends a query as it came, but for the few bytes that no URI may hold and that
/// lanes would refuse to carry.
pub(crate) fn append_query(query: &[u8], out: &mut Text) {
    write(&[query], |byte| byte.is_ascii_graphic() && !b"\"#<>".contains(&byte), out);
}

fn escape(parts: &[&[u8]], out: &mut Text) {
    write(parts, passes, out);
}

fn write(parts: &[&[u8]], passes: impl Fn(u8) -> bool, out: &mut Text) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX[usize::from(nibble & 0x0f)];
    for &byte in parts.iter().copied().flatten() {
        if passes(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
        }
    }
}

fn passes(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!#$&'()*+,/:;=?@[]%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(service: &str, path: &str, prefix: Option<&str>, expected: &str) {
        let service = (!service.is_empty()).then_some(service);
        let mut out = Text::new();
        upstream(service, path.as_bytes(), prefix.map(str::len), &mut out);
        let out = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(out, expected, "{service:?} {path} without {prefix:?}");
    }

    #[test]
    fn joined_after_a_base_with_a_slash() {
        check("", "/route", Some("/route"), "/");
        check("/base/", "/route/", Some("/route/"), "/base/");
        check("/base/", "/route", Some("/route"), "/base");
        check("/base/", "/", Some("/"), "/base/");
        check("/base/", "/route/x", Some("/route"), "/base/x");
        check("/base/", "/routex", Some("/route"), "/base/x");
        check("/base/", "/route/x", None, "/base/route/x");
        check("", "/route/x", None, "/route/x");
    }

    #[test]
    fn joined_after_a_base_without_one() {
        check("/base", "/route/", Some("/route/"), "/base/");
        check("/base", "/", Some("/"), "/base");
        check("/base", "/route", Some("/route"), "/base");
        check("/base", "/route/x", Some("/route"), "/base/x");
        check("/base", "/routex", Some("/route"), "/base/x");
        check("/base", "/", None, "/base");
        check("/base", "/route/", None, "/base/route/");
    }

    #[test]
    fn what_a_prefix_leaves_cannot_climb() {
        check("/base", "/route..", Some("/route"), "/base");
        check("/base", "/route../x", Some("/route"), "/base/x");
        check("/base", "/route./x", Some("/route"), "/base/x");
        check("/base", "/route.x", Some("/route"), "/base/.x");
    }

    #[test]
    fn bytes_no_path_has_are_escaped_and_escapes_kept() {
        check("", "/a b\"<>", None, "/a%20b%22%3C%3E");
        check("", "/%2F%25", None, "/%2F%25");
        check("", "/é", None, "/%C3%A9");
    }

    #[test]
    fn whatever_a_client_asks_is_written_as_a_uri() {
        let every: Vec<u8> = (0..=255).collect();
        let mut out = Text::new();
        upstream(None, &[b"/", every.as_slice()].concat(), None, &mut out);
        append_query(&[b"?", every.as_slice()].concat(), &mut out);
        assert!(http::uri::PathAndQuery::try_from(&*out).is_ok());
    }

    #[test]
    fn a_query_passes_as_it_came() {
        let mut out = Text::new();
        append_query(b"?a=%41&b=|{}^`'[]\\&&c", &mut out);
        assert_eq!(&*out, b"?a=%41&b=|{}^`'[]\\&&c");
    }

    #[test]
    fn a_query_begins_after_the_first_byte() {
        for (target, path, query) in [
            ("/a?b?c", "/a", "?b?c"),
            ("/a?", "/a", "?"),
            ("/a", "/a", ""),
            ("/?", "/", "?"),
            ("", "", ""),
        ] {
            let (found, rest) = split_target(target.as_bytes());
            assert_eq!((found, rest), (path.as_bytes(), query.as_bytes()), "{target}");
        }
    }
}
