//! What a client says on one connection, and how it is cut into writes.
//!
//! A [`Stream`] knows nothing of who reads it: the same one is sent to both engines, byte by
//! byte the same.

use super::act::Act;
use super::dice::Dice;
use std::sync::LazyLock;

/// A whole connection.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) requests: Vec<Request>,
    /// No piece is longer than this where it is cut; where that is, the seed says.
    pub(crate) most: usize,
    pub(crate) seed: u64,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// What follows the path of the route.
    pub(crate) target: String,
    pub(crate) version: &'static str,
    /// Lines of the head beside those about the body, each without its end.
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) body: Body,
    /// What the origin is to do.
    pub(crate) act: Act,
    /// Whether it is sent together with the one before it, rather than after that is answered.
    pub(crate) follows: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    None,
    Length(usize),
    /// The sizes of the chunks before the last one.
    Chunked(Vec<usize>),
}

/// More system calls than these would not tell more.
const CUTS: usize = 30;

/// The field that says for whom a request is meant: the run's number, the request's, the act.
pub(crate) const TAG: &str = "X-Twin";

impl Stream {
    /// What is sent at a time: the bytes of requests that follow each other without waiting, and
    /// how many answers there are to be before the next are sent.
    pub(crate) fn bursts(&self, route: &str, run: u64) -> Vec<(Vec<u8>, usize)> {
        let mut bursts: Vec<(Vec<u8>, usize)> = Vec::new();
        for (number, request) in self.requests.iter().enumerate() {
            let bytes = request.bytes(route, run, number);
            match bursts.last_mut().filter(|_| request.follows) {
                Some((burst, _)) => burst.extend(bytes),
                None => bursts.push((bytes, 0)),
            }
            bursts.last_mut().unwrap().1 = number + 1;
        }
        bursts
    }

    /// Where this is cut: somewhere in it, up to [`CUTS`] times.
    pub(crate) fn pieces<'b>(&self, burst: &'b [u8]) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let (most, mut dice) = (self.most, Dice(self.seed));
        let (mut rest, mut cuts) = (burst, 0);
        let whole = if dice.one_in(2) { 0 } else { dice.below(burst.len()) };
        std::iter::from_fn(move || {
            let length = match cuts {
                0 if whole > 0 => whole,
                CUTS.. => rest.len(),
                _ if most < rest.len() => 1 + dice.below(most),
                _ => rest.len(),
            };
            cuts += 1;
            let (piece, after) = rest.split_at(length);
            rest = after;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

impl Request {
    /// As it goes over the wire.
    fn bytes(&self, route: &str, run: u64, number: usize) -> Vec<u8> {
        let Request { method, target, version, .. } = self;
        let mut bytes = format!("{method} {route}{target} {version}\r\n").into_bytes();
        let mut lines = self.lines.clone();
        lines.push(format!("{TAG}: {run} {number} {}", self.act).into_bytes());
        match &self.body {
            Body::None => {}
            Body::Length(length) => lines.push(format!("Content-Length: {length}").into_bytes()),
            Body::Chunked(_) => lines.push(b"Transfer-Encoding: chunked".to_vec()),
        }
        for line in lines {
            bytes.extend(line);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        match &self.body {
            Body::None => {}
            Body::Length(length) => bytes.extend(filling(*length)),
            Body::Chunked(sizes) => bytes.extend(chunked(sizes)),
        }
        bytes
    }
}

/// Content of this length: no two places of it look alike from near.
pub(crate) fn filling(length: usize) -> Vec<u8> {
    static PATTERN: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..1 << 16).map(|at| (at * 31 + at / 251) as u8).collect());
    let mut content = PATTERN.repeat(length / PATTERN.len());
    content.extend(&PATTERN[..length % PATTERN.len()]);
    content
}

/// The same content in chunks.
pub(crate) fn chunked(sizes: &[usize]) -> Vec<u8> {
    let content = filling(sizes.iter().sum());
    let (mut bytes, mut rest) = (Vec::new(), &content[..]);
    for size in sizes {
        let (chunk, after) = rest.split_at(*size);
        bytes.extend(format!("{size:x}\r\n").bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
        rest = after;
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}
