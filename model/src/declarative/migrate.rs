//! Documents of Kong before 3.0, whose routes did not say which of their paths are expressions.
//!
//! A path with any character that a plain path seldom has was one. Whatever it is, it was compared with
//! a request's path as it came; since 3.0 that is with its normal form.

use serde_json::Value;

use crate::schema::Object;
use crate::value::path::normal_form;

/// The versions that say it in the old way.
pub(super) const OLD: [&str; 2] = ["1.1", "2.1"];

/// Says it in the new way, in all routes of a document.
pub(super) fn migrate(document: &mut Object) {
    let routes = |record: Option<&mut Value>| {
        let routes = record.and_then(Value::as_array_mut).into_iter().flatten();
        routes.filter_map(|route| route.get_mut("paths")).for_each(migrate_paths);
    };
    routes(document.get_mut("routes"));
    for service in document.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten()
    {
        routes(service.get_mut("routes"));
    }
}

fn migrate_paths(paths: &mut Value) {
    for path in paths.as_array_mut().into_iter().flatten() {
        if let Value::String(text) = path {
            *text = migrated(text);
        }
    }
}

fn migrated(path: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%".contains(&b);
    if path.starts_with('~') {
        return path.to_owned(); // whoever wrote it knew the new way
    }
    if !path.bytes().all(is_plain) {
        return format!("~{}", unescaped(path));
    }
    // What is not UTF-8 once it is decoded stays as it is: the schema says so.
    String::from_utf8(normal_form(path.as_bytes()).into_owned()).unwrap_or_else(|_| path.to_owned())
}

/// An expression without escapes of characters that a request's normal form does not escape.
fn unescaped(expression: &str) -> String {
    let mut out = Vec::with_capacity(expression.len());
    let mut rest = expression.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = (byte == b'%').then(|| after.get(..2)).flatten();
        let code = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(code) = code else {
            out.push(byte);
            rest = after;
            continue;
        };
        match code {
            // RFC 3986 §2.2: it would mean something else.
            b if b":/?#[]@!$&'()*+,;=".contains(&b) => {
                out.extend(format!("%{b:02X}").bytes());
            }
            b if b"\\^.|{}-".contains(&b) => out.extend([b'\\', b]),
            b => out.push(b),
        }
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8(out).unwrap_or_else(|_| expression.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_paths_say_what_they_are() {
        for (old, new) in [
            ("/a", "/a"),
            ("/a/./b//c", "/a/b/c"),
            ("/a%20b", "/a b"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%7eb", "/a~b"),
            (r"/\d+", r"~/\d+"),
            ("/a$", "~/a$"),
            ("/(a|b)%20c", "~/(a|b) c"),
            ("/(a)%2fc%2e", r"~/(a)%2Fc\."),
            ("/a(%zz)", "~/a(%zz)"),
            ("/(%ff)", "~/(%ff)"),
            ("~/a$", "~/a$"),
        ] {
            assert_eq!(migrated(old), new, "{old}");
        }
    }
}
