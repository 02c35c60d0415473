//! Paths: of services, in routes, and the normal form in which a request's path
//! is compared with them.
//!
//! [`normal_form`] runs on every request: it looks once at each byte and
//! allocates only if there is something to change.

use std::borrow::Cow;

use crate::schema::{Invalid, Rule, without_nul};

text! {
    /// The path of a service: starts with `/`, has no empty segment, and nothing
    /// but the characters RFC 3986 allows in a path.
    Path, admit_path, Rule::StartsWith("/")
}

text! {
    /// A path a route matches: a prefix in normal form, or `~` and a regular
    /// expression that starts with `/`. The engine, which knows the dialect,
    /// judges the expression.
    RoutePath, admit_route_path
}

/// A route's path taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMatch<'a> {
    /// Paths that start so; segments have no say in it.
    Prefix(&'a str),
    /// Paths of which this expression matches the beginning.
    Regex(&'a str),
}

impl RoutePath {
    /// What it matches.
    pub fn matches(&self) -> PathMatch<'_> {
        match self.0.strip_prefix('~') {
            Some(regex) => PathMatch::Regex(regex),
            None => PathMatch::Prefix(&self.0),
        }
    }
}

/// The normal form of a path that starts with `/`, in Kong's sense.
///
/// Escapes of anything but RFC 3986's reserved characters are decoded, reserved
/// ones stay in upper-case hex; then `.` and `..` segments are resolved (never
/// above the root), then runs of slashes become one. The result may not be
/// UTF-8. A `%` that starts no escape becomes `%25`, or it might start one with
/// what is decoded behind it, and a dot segment would survive.
pub fn normal_form(path: &[u8]) -> Cow<'_, [u8]> {
    if is_normal(path) {
        return Cow::Borrowed(path);
    }
    let mut normal = without_dots(&decoded(path));
    normal.dedup_by(|next, last| *next == b'/' && *last == b'/');
    Cow::Owned(normal)
}

/// Whether there is nothing to do. Asks only at slashes and percent signs.
fn is_normal(path: &[u8]) -> bool {
    path.iter().enumerate().all(|(at, byte)| {
        let rest = path.get(at + 1..).unwrap_or_default();
        match byte {
            b'/' => !matches!(
                rest,
                [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..]
            ),
            b'%' => match escape(rest) {
                Some(byte) => is_reserved(byte) && !rest.iter().take(2).any(u8::is_ascii_lowercase),
                None => false,
            },
            _ => true,
        }
    })
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match escape(after).filter(|_| byte == b'%') {
            None if byte == b'%' => out.extend_from_slice(b"%25"),
            None => out.push(byte),
            Some(meant) => {
                let (digits, after) = after.split_at(2);
                rest = after;
                if is_reserved(meant) {
                    out.push(b'%');
                    out.extend(digits.iter().map(u8::to_ascii_uppercase));
                } else {
                    out.push(meant);
                }
            }
        }
    }
    out
}

/// RFC 3986 §5.2.4, for a path that starts with a slash.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut segments =
        path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"." => {}
            b".." => out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
        }
        // A dot segment at the end leaves its slash behind.
        if segments.peek().is_none() {
            out.push(b'/');
        }
    }
    out
}

/// Whether every `%` starts an escape, and none stands for NUL.
pub fn is_well_escaped(path: &[u8]) -> bool {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        escape(path.get(at + 1..).unwrap_or_default()).is_some_and(|meant| meant != 0)
    })
}

/// The byte that two hex digits stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    let hex = |at: usize| digits.get(at).and_then(|byte| (*byte as char).to_digit(16));
    Some((hex(0)? << 4 | hex(1)?) as u8)
}

fn is_reserved(byte: u8) -> bool {
    b"!*'();:@&=+$,/?%#[]".contains(&byte)
}

fn admit_path(path: &str) -> Result<(), Invalid> {
    if !path.starts_with('/') {
        return Err(Invalid::new("should start with: /"));
    }
    if path.contains("//") {
        return Err(Invalid::new("must not have empty segments"));
    }
    if !has_path_characters_only(path) {
        return Err(Invalid(format!(
            "invalid path: '{path}' (characters outside of the reserved list of RFC 3986 found)"
        )));
    }
    check_escapes(path)
}

fn admit_route_path(path: &str) -> Result<(), Invalid> {
    without_nul(path)?;
    if path.contains("//") {
        return Err(Invalid::new("must not have empty segments"));
    }
    if !path.starts_with('/') && !path.starts_with("~/") {
        return Err(Invalid::new("should start with: / (fixed path) or ~/ (regex path)"));
    }
    if path.starts_with('~') {
        return Ok(());
    }
    // Kong looks at escapes only where the other characters are a path's.
    if has_path_characters_only(path) {
        check_escapes(path)?;
    }
    match normal_form(path.as_bytes()) {
        Cow::Borrowed(_) => Ok(()),
        Cow::Owned(normal) => {
            let normal = String::from_utf8_lossy(&normal);
            without_nul(&normal)?;
            Err(Invalid(format!("non-normalized path, consider use '{normal}' instead")))
        }
    }
}

fn has_path_characters_only(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b))
}

fn check_escapes(path: &str) -> Result<(), Invalid> {
    let bad = path.match_indices('%').find(|(at, _)| escape(&path.as_bytes()[at + 1..]).is_none());
    bad.map_or(Ok(()), |(at, _)| {
        let shown: String = path[at..].chars().take(3).collect();
        Err(Invalid(format!("invalid url-encoded value: '{shown}'")))
    })
}
