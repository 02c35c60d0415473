//! A URL taken apart, as Kong does: leniently, leaving it to the rules of each
//! field to refuse what comes out.

use crate::schema::Invalid;

text! {
    /// A URL with a scheme and a host.
    AbsoluteUrl, admit
}

fn admit(text: &str) -> Result<(), Invalid> {
    match split(text) {
        Url { host: None, .. } => Err(Invalid("missing host in url".to_owned())),
        Url { scheme: None, .. } => Err(Invalid("missing scheme in url".to_owned())),
        // It is written into heads.
        _ if text.contains(|c: char| c.is_ascii_control()) => {
            Err(Invalid("must not have control characters".to_owned()))
        }
        _ => Ok(()),
    }
}

/// The parts of a URL that matter to a service. Empty parts are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// What stands before the first colon, if it can be a scheme.
    pub scheme: Option<&'a str>,
    /// The host, without the brackets of an IPv6 address.
    pub host: Option<&'a str>,
    /// What stands behind the host's colon, a number or not.
    pub port: Option<&'a str>,
    /// The path, without parameters, query and fragment.
    pub path: Option<&'a str>,
}

/// Takes a URL apart. Any text has parts.
pub fn split(url: &str) -> Url<'_> {
    let rest = before(url, '#');
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, rest),
    };
    let (authority, rest) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?', ';']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (host, port) = split_authority(authority);
    Url { scheme, host: some(host), port: some(port), path: some(before(before(rest, '?'), ';')) }
}

/// Host and port, without `user@`.
fn split_authority(authority: &str) -> (&str, &str) {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    (host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), port)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn before(text: &str, mark: char) -> &str {
    text.split_once(mark).map_or(text, |(before, _)| before)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_url_has_a_scheme_and_a_host() {
        for (text, expected) in [
            ("https://a.test/b?c#d", Ok(())),
            ("//a.test", Err("missing scheme in url")),
            ("a.test", Err("missing host in url")),
            ("https:/b", Err("missing host in url")),
            ("https://a.test/\r\nb", Err("must not have control characters")),
        ] {
            let found = text.parse::<AbsoluteUrl>().map(|_| ());
            assert_eq!(found, expected.map_err(|why| Invalid(why.to_owned())), "{text}");
        }
    }

    #[test]
    fn urls_come_apart() {
        check("http://a.io", ["http", "a.io", "", ""]);
        check("https://me:secret@a.io:8443/x/y?q=1#f", ["https", "a.io", "8443", "/x/y"]);
        check("http://[::1]:81/x;p", ["http", "::1", "81", "/x"]);
        check("http://[::1]", ["http", "::1", "", ""]);
        check("//a.io/x", ["", "a.io", "", "/x"]);
        check("a.io", ["", "", "", "a.io"]);
        check("a.io:80", ["a.io", "", "", "80"]);
        check("http://a.io?x", ["http", "a.io", "", ""]);
        check("http://a.io:x/", ["http", "a.io", "x", "/"]);
    }

    #[track_caller]
    fn check(url: &str, [scheme, host, port, path]: [&str; 4]) {
        let expected =
            Url { scheme: some(scheme), host: some(host), port: some(port), path: some(path) };
        assert_eq!(split(url), expected, "{url}");
    }
}
