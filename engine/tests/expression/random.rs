//! Random expressions and requests that have something to do with each other.

use crate::request::{Headers, Request};
use engine::router::Scheme;
use std::net::{IpAddr, SocketAddr};

/// The same numbers in every run (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    pub(crate) fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

const TEXT_FIELDS: &[&str] = &[
    "http.path",
    "http.path",
    "http.path",
    "http.path",
    "http.host",
    "http.host",
    "http.method",
    "net.protocol",
    "tls.sni",
    "http.path.segments.0",
    "http.path.segments.1",
    "http.path.segments.0_1",
    "http.path.segments.1_2",
    "http.headers.x_one",
    "http.headers.x_one",
    "http.headers.x_two",
    "http.queries.a",
    "http.queries.B",
    "http.queries.none",
];
const NUMBER_FIELDS: &[&str] =
    &["net.src.port", "net.dst.port", "http.path.segments.len", "net.port"];
const ADDRESS_FIELDS: &[&str] = &["net.src.ip", "net.dst.ip"];
const STRANGE_FIELDS: &[&str] = &[
    "http.path.segments.00",
    "http.path.segments.1_1",
    "http.path.segments.2_10",
    "http.path.segments.0_0",
    "http.path.segments.",
    "http.path.segments",
    "http.path.segments.99999999999999999999",
    "http.headers.",
    "http.headers.a.b",
    "http.queries",
    "http",
    "tls.sni.",
    "lower",
    "any",
    "x",
];
const WORDS: &[&str] = &[
    "/",
    "/foo",
    "/foo/",
    "/foo/bar",
    "/foo/bar/baz",
    "/Foo",
    "/k",
    "/foo//bar/",
    "foo",
    "Foo",
    "bar",
    "foo/bar",
    "bar/baz",
    "a.com",
    "A.com",
    "api.a.com",
    ".a.com",
    "api.",
    "k.com",
    "com",
    "GET",
    "PUT",
    "http",
    "https",
    "v1",
    "V1",
    "k",
    "\u{212A}",
    "\u{130}",
    "i\u{307}",
    "1",
    "",
    "\u{e4}",
    "\u{c4}",
    "é/",
];
const REGEXES: &[&str] = &[
    "^/foo",
    "^/(foo)/(bar)?",
    "(?<word>[a-z]+)$",
    "o+",
    "^/(?:foo|k)/",
    "^(/f)|(bar)",
    "(a)|(b)|(c)",
    "^/[fk]",
    "(?i)^/foo",
    "(?i)FOO",
    "[",
    "(?<=a)",
    "^$",
    "",
    "^/foo/(?P<word>[^/]*)/?(.*)$",
    "(?m)^/k",
    "(?s-u:.)",
    "\\.com$",
    "^/\u{e4}|^/foo/",
];
const TEXT_OPERATORS: &[&str] = &["==", "==", "!=", "~", "^=", "^=", "=^", "contains"];
const NUMBER_OPERATORS: &[&str] = &["==", "!=", ">", ">=", "<", "<="];
const OPERATORS: &[&str] =
    &["==", "!=", "~", "^=", "=^", "contains", ">", ">=", "<", "<=", "in", "not in", "=", "is"];
const NUMBERS: &[&str] =
    &["0", "1", "2", "80", "0x50", "0120", "-1", "-0x1", "089", "443", "9223372036854775807"];
const STRANGE_VALUES: &[&str] = &[
    "9223372036854775808",
    "-9223372036854775808",
    "0x",
    "018",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4/33",
    "10.0.0.1/8",
    "10.0.0.0/08",
    "::1/129",
    "::ffff:1.2.3.4",
    "1:2",
    "fd00::1/8",
    "r#\"a\"",
    "r\"a\"",
    "\"a\\d\"",
    "\"a",
    "'a'",
    "-",
    "true",
];
const ADDRESSES: &[&str] = &["10.1.2.3", "10.9.9.9", "fd00::1", "1.1.1.1", "::1"];
const NETWORKS: &[&str] =
    &["10.0.0.0/8", "10.1.2.3/32", "fd00::/8", "0.0.0.0/0", "::/0", "10.8.0.0/14", "fd00::1/128"];
const SPACES: &[&str] = &["", " ", " ", " ", "\t", "\n ", "\r\n"];

/// An expression; one in ten has something wrong with it, or odd.
pub(crate) fn expression(dice: &mut Dice) -> String {
    let mut text = String::new();
    let oddity = if dice.one_in(10) { 6 } else { usize::MAX };
    chain(dice, &mut text, 3, oddity);
    text
}

fn chain(dice: &mut Dice, text: &mut String, depth: usize, oddity: usize) {
    for part in 0..1 + dice.roll(4) {
        if part > 0 {
            space(dice, text);
            text.push_str(dice.pick(&["&&", "||"]));
        }
        space(dice, text);
        if depth > 0 && dice.one_in(3) {
            text.push_str(dice.pick(&["(", "(", "!(", "! ("]));
            chain(dice, text, depth - 1, oddity);
            space(dice, text);
            text.push(')');
        } else {
            predicate(dice, text, oddity);
        }
    }
    space(dice, text);
}

fn space(dice: &mut Dice, text: &mut String) {
    // Nothing but a space may be where it could join two words.
    let joins = text.ends_with(|last: char| last.is_ascii_alphanumeric() || "_.".contains(last));
    text.push_str(if joins { " " } else { dice.pick(SPACES) });
}

fn predicate(dice: &mut Dice, text: &mut String, oddity: usize) {
    let is_odd = |dice: &mut Dice| oddity != usize::MAX && dice.one_in(oddity);
    let kind = dice.roll(8);
    let (name, operator) = match kind {
        0 => (dice.pick(NUMBER_FIELDS), dice.pick(NUMBER_OPERATORS)),
        1 => (dice.pick(ADDRESS_FIELDS), dice.pick(&["==", "!=", "in", "not in"])),
        _ => (dice.pick(TEXT_FIELDS), dice.pick(TEXT_OPERATORS)),
    };
    let name = if is_odd(dice) { dice.pick(STRANGE_FIELDS) } else { name };
    let functions = if kind > 1 || is_odd(dice) { dice.roll(3) } else { 0 };
    for _ in 0..functions {
        let function = if is_odd(dice) { "upper" } else { dice.pick(&["lower", "any"]) };
        text.push_str(function);
        text.push_str(dice.pick(&["(", "(", " ("]));
    }
    text.push_str(name);
    text.push_str(&")".repeat(functions));
    space(dice, text);
    let operator = if is_odd(dice) { dice.pick(OPERATORS) } else { operator };
    text.push_str(operator);
    text.push_str(dice.pick(SPACES));
    if is_odd(dice) {
        return text.push_str(dice.pick(STRANGE_VALUES));
    }
    match (kind, operator) {
        (0, _) => text.push_str(dice.pick(NUMBERS)),
        (1, "in" | "not in") => text.push_str(dice.pick(NETWORKS)),
        (1, _) => text.push_str(dice.pick(ADDRESSES)),
        (_, "~") => string(dice, text, REGEXES),
        _ => string(dice, text, WORDS),
    }
}

fn string(dice: &mut Dice, text: &mut String, words: &[&str]) {
    let word = dice.pick(words);
    if dice.one_in(2) {
        text.push_str(&format!("r#\"{word}\"#"));
    } else {
        text.push_str(&format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")));
    }
}

/// Arguments of a query, as they mean.
pub(crate) type Arguments = Vec<(String, Option<String>)>;

/// A request and the arguments its query is made of.
pub(crate) fn request(dice: &mut Dice) -> (Request, Arguments) {
    let paths: Vec<_> = WORDS.iter().filter(|word| word.starts_with('/')).copied().collect();
    let hosts = ["", "a.com", "A.com", "api.a.com", "k.com", "x.A.COM", "API.b.org", "foo"];
    let path =
        dice.pick(&paths).to_owned() + dice.pick(&["", "", "", "/\u{e4}", "/b/c", "\u{130}"]);
    let headers = (0..dice.roll(4)).map(|_| {
        (dice.pick(&["x_one", "x_one", "x_two"]).to_owned(), dice.pick(WORDS).as_bytes().to_owned())
    });
    let headers = Headers(headers.collect());
    let arguments: Arguments = (0..dice.roll(4))
        .map(|_| {
            let value = (!dice.one_in(4)).then(|| dice.pick(WORDS).to_owned());
            (dice.pick(&["a", "a", "B", "b"]).to_owned(), value)
        })
        .collect();
    let query = encoded(dice, &arguments);
    let scheme = dice.pick(&[Scheme::Http, Scheme::Https]);
    let address = |dice: &mut Dice| -> SocketAddr {
        let address: IpAddr = dice.pick(ADDRESSES).parse().expect("an address");
        SocketAddr::new(address, dice.pick(&[1, 80, 443, 8000]))
    };
    let request = Request {
        scheme,
        method: dice.pick(&["GET", "GET", "PUT", "get"]).to_owned(),
        host: dice.pick(&hosts).to_owned(),
        port: dice.pick(&[Some(80), Some(443), Some(1), None]),
        path,
        query,
        sni: dice.pick(&[None, Some("a.com"), Some("api.a.com")]).map(str::to_owned),
        source: address(dice),
        destination: address(dice),
        headers,
    };
    (request, arguments)
}

/// A query with these arguments: some bytes percent-encoded, some spelled out, and
/// empty arguments between them.
fn encoded(dice: &mut Dice, arguments: &Arguments) -> String {
    let mut query = String::new();
    for (at, (name, value)) in arguments.iter().enumerate() {
        query.push_str(if at > 0 { dice.pick(&["&", "&", "&&", "&=x&"]) } else { "" });
        escape(dice, &mut query, name);
        if let Some(value) = value {
            query.push('=');
            escape(dice, &mut query, value);
        }
    }
    query
}

fn escape(dice: &mut Dice, query: &mut String, text: &str) {
    for byte in text.bytes() {
        if !byte.is_ascii_alphanumeric() && byte != b'/' || dice.one_in(5) {
            query.push_str(&format!("%{byte:02x}"));
        } else {
            query.push(byte.into());
        }
    }
}

/// The same text with something changed in it.
pub(crate) fn mutated(dice: &mut Dice, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..1 + dice.roll(3) {
        let at = dice.roll(chars.len() + 1);
        let end = (at + dice.roll(6)).min(chars.len());
        match dice.roll(4) {
            0 => drop(chars.drain(at..end)),
            1 => chars.insert(at, character(dice)),
            2 => chars.truncate(at.max(1)),
            _ => {
                let copy: Vec<char> = chars[at..end].to_vec();
                let to = dice.roll(chars.len() + 1);
                chars.splice(to..to, copy);
            }
        }
    }
    chars.into_iter().collect()
}

/// Any text at all, mostly of characters that mean something.
pub(crate) fn noise(dice: &mut Dice) -> String {
    (0..dice.roll(40)).map(|_| character(dice)).collect()
}

fn character(dice: &mut Dice) -> char {
    let meaningful: Vec<char> = "()!&|=~^<>\"\\r#.:/-_ \n\t0x19afinot\u{e4}".chars().collect();
    match dice.roll(20) {
        0 => char::from_u32(dice.roll(0x11_0000) as u32).unwrap_or('\u{fffd}'),
        1 => char::from(dice.roll(128) as u8),
        _ => dice.pick(&meaningful),
    }
}
