//! The words of an expression: names, strings, numbers, addresses.
//!
//! White space before a word is skipped, whatever comes before it, and nothing needs
//! white space around it but a name before another.

use super::mistake::{Mistake, Mistakes, Problem};
use super::syntax::{At, Literal};
use ipnet::IpNet;
use std::net::IpAddr;

/// A place in a text.
#[derive(Clone, Copy)]
pub(super) struct Scan<'t> {
    text: &'t str,
    /// What is not read yet: always a suffix of `text`.
    rest: &'t str,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Scan<'t> {
        Scan { text, rest: text }
    }

    /// Where the next word starts.
    pub(super) fn next_at(&mut self) -> usize {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.text.len() - self.rest.len()
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_done(&mut self) -> bool {
        self.next_at() == self.text.len()
    }

    /// Skips this if it comes next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        self.next_at();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Skips this if it comes next and is a word of its own.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.next_at();
        let rest = self.rest.strip_prefix(word);
        let is_word = rest.is_some_and(|rest| !rest.starts_with(is_in_name));
        if is_word { self.take(word) } else { false }
    }

    /// The name that comes next, of a field or a function.
    pub(super) fn name(&mut self) -> Option<At<&'t str>> {
        let at = self.next_at();
        if !self.rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        Some(At { at, it: self.take_while(is_in_name) })
    }

    /// The value that comes next; what it holds is missing, and told, if it is in the
    /// form of a value but wrong.
    pub(super) fn literal(
        &mut self,
        mistakes: &mut Mistakes<'_>,
    ) -> Result<At<Option<Literal>>, Mistake> {
        let at = self.next_at();
        let value = if self.take("\"") {
            Ok(Literal::Text(self.quoted(at)?))
        } else if self.take("r#\"") {
            Ok(Literal::Text(self.raw(at)?.to_owned()))
        } else if let Some(length) = ipv4(self.rest).or_else(|| ipv6(self.rest)) {
            self.address(length)
        } else if let Some((radix, length)) = number(self.rest) {
            self.number(radix, length)
        } else {
            return Err(self.unexpected("a string, a number, an IP address or a network"));
        };
        let it = value.map_err(|problem| mistakes.note(at, problem)).ok();
        Ok(At { at, it })
    }

    /// What is behind an opening quote.
    fn quoted(&mut self, start: usize) -> Result<String, Mistake> {
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|next| next != '"' && next != '\\'));
            let at = self.text.len() - self.rest.len();
            let mut next = self.rest.chars();
            match (next.next(), next.next()) {
                (Some('"'), _) => {
                    self.skip(1);
                    return Ok(text);
                }
                (Some(_), Some(escaped)) => {
                    let Some(meant) = unescaped(escaped) else {
                        return Err(self.mistake_at(at, Problem::Escape(escaped)));
                    };
                    text.push(meant);
                    self.skip(2);
                }
                _ => return Err(self.mistake_at(start, Problem::Unterminated("\""))),
            }
        }
    }

    /// What is behind an opening `r#"`.
    fn raw(&mut self, start: usize) -> Result<&'t str, Mistake> {
        let Some((text, rest)) = self.rest.split_once("\"#") else {
            return Err(self.mistake_at(start, Problem::Unterminated("\"#")));
        };
        self.rest = rest;
        Ok(text)
    }

    /// An address of this many bytes, and the prefix length behind it if there is one.
    fn address(&mut self, length: usize) -> Result<Literal, Problem> {
        let (address, behind) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        let most = if address.contains(':') { 3 } else { 2 };
        let digits = behind.strip_prefix('/').map_or(0, |digits| count(digits, is_digit, most));
        if digits == 0 {
            self.skip(length);
            let parsed: Option<IpAddr> = address.parse().ok();
            return parsed
                .map(Literal::Address)
                .ok_or_else(|| Problem::Address(address.to_owned()));
        }
        let written = self.skip(length + 1 + digits);
        let Some(network) = network(written) else {
            return Err(Problem::Network(written.to_owned()));
        };
        let trunc = network.trunc();
        if trunc == network {
            return Ok(Literal::Network(network));
        }
        Err(Problem::HostBits { written: written.to_owned(), network: trunc.to_string() })
    }

    /// A number of this many bytes in all.
    fn number(&mut self, radix: u32, length: usize) -> Result<Literal, Problem> {
        let written = self.skip(length);
        let digits = written.trim_start_matches('-');
        let digits = if radix == 16 { digits.trim_start_matches("0x") } else { digits };
        // The sign comes after: the lowest number of all is not accepted, as in Kong.
        let parsed = i64::from_str_radix(digits, radix);
        let number = parsed.map_err(|_| Problem::Number(written.to_owned()))?;
        Ok(Literal::Number(if written.starts_with('-') { -number } else { number }))
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let length = self.rest.find(|next| !is(next)).unwrap_or(self.rest.len());
        self.skip(length)
    }

    /// Moves on by so many bytes, which must end a character, and returns them.
    fn skip(&mut self, length: usize) -> &'t str {
        let (skipped, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        skipped
    }

    /// Tells that the next word is out of place.
    pub(super) fn unexpected(&mut self, expected: &'static str) -> Mistake {
        let at = self.next_at();
        let word = &mut self.clone();
        let found = match word.name() {
            Some(name) => format!("`{}`", shortened(name.it)),
            None => match self.rest.chars().next() {
                Some(next) => format!("`{next}`"),
                None => "the end".to_owned(),
            },
        };
        self.mistake_at(at, Problem::Unexpected { found, expected })
    }

    /// A mistake at the next word.
    pub(super) fn mistake(&mut self, problem: Problem) -> Mistake {
        let at = self.next_at();
        self.mistake_at(at, problem)
    }

    /// A mistake at a byte of the text.
    pub(super) fn mistake_at(&self, at: usize, problem: Problem) -> Mistake {
        Mistake::at(self.text, at, problem)
    }
}

fn is_in_name(next: char) -> bool {
    next.is_ascii_alphanumeric() || next == '_' || next == '.'
}

fn is_digit(next: char) -> bool {
    next.is_ascii_digit()
}

/// The start of a name, if it is too long to be read in a message.
fn shortened(name: &str) -> &str {
    name.get(..60).unwrap_or(name)
}

/// The character behind a backslash, as it is meant.
fn unescaped(escaped: char) -> Option<char> {
    Some(match escaped {
        '"' | '\\' => escaped,
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        _ => return None,
    })
}

/// How many of the first characters, all of them ASCII and `most` at most, are so.
fn count(text: &str, is: impl Fn(char) -> bool, most: usize) -> usize {
    text.chars().take(most).take_while(|next| is(*next)).count()
}

/// How many bytes have the form of an IPv4 address; none if it is something else.
fn ipv4(text: &str) -> Option<usize> {
    let mut length = 0;
    for part in 0..4 {
        let dot = usize::from(part > 0);
        let rest = text.get(length..)?;
        let digits = if dot == 0 { rest } else { rest.strip_prefix('.')? };
        length += dot + Some(count(digits, is_digit, 3)).filter(|digits| *digits > 0)?;
    }
    Some(length)
}

/// How many bytes have the form of an IPv6 address; none if it is something else.
fn ipv6(text: &str) -> Option<usize> {
    let first = if text.starts_with(':') { 1 } else { count(text, |c| c.is_ascii_hexdigit(), 4) };
    let is_address = first > 0 && text.get(first..)?.starts_with(':');
    is_address.then(|| count(text, |c| c.is_ascii_hexdigit() || c == ':', usize::MAX))
}

/// The radix and the length of a number with its sign; none if it is something else.
fn number(text: &str) -> Option<(u32, usize)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let sign = text.len() - digits.len();
    let octal =
        digits.strip_prefix('0').map_or(0, |rest| count(rest, |c| c.is_digit(8), usize::MAX));
    let hex = digits.strip_prefix("0x");
    let hex = hex.map_or(0, |rest| count(rest, |c| c.is_ascii_hexdigit(), usize::MAX));
    let decimal = count(digits, is_digit, usize::MAX);
    match (octal, hex, decimal) {
        (1.., ..) => Some((8, sign + 1 + octal)),
        (_, 1.., _) => Some((16, sign + 2 + hex)),
        (.., 1..) => Some((10, sign + decimal)),
        _ => None,
    }
}

/// A network with whatever bits are behind its prefix.
fn network(written: &str) -> Option<IpNet> {
    let (address, prefix) = written.split_once('/')?;
    IpNet::new(address.parse().ok()?, prefix.parse().ok()?).ok()
}
