//! What a client says on one connection, and how it is cut into writes.
//!
//! A [`Stream`] knows nothing of who reads it: the same one is sent to both engines, byte by
//! byte the same.

use super::act::Act;
use super::random::Random;
use std::sync::LazyLock;

/// A whole connection.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) requests: Vec<Request>,
    /// No piece is longer than this where it is cut; where that is, the seed says.
    pub(crate) most: usize,
    pub(crate) seed: u64,
    pub(crate) ending: Ending,
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ending {
    /// When it was answered, or sent away, to all it asked.
    Whole,
    /// After so many thousandths of its last request, saying that no more will come.
    Stops(usize),
    /// The same, without a word.
    Resets(usize),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Which of the routes it takes.
    pub(crate) route: &'static str,
    /// What follows the path of the route.
    pub(crate) target: &'static str,
    pub(crate) version: &'static str,
    /// Lines of the head beside those about the body, each without its end.
    pub(crate) lines: Vec<&'static [u8]>,
    pub(crate) body: Body,
    pub(crate) expects: Expects,
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
    Chunked {
        sizes: Vec<usize>,
        extension: &'static str,
        trailers: &'static str,
    },
    /// Lines about a body, and what is there of one: not as it should be.
    Odd(&'static str, &'static [u8]),
    /// Of another protocol than HTTP, which the request asks for: said before it is granted, and
    /// then in turns, so much each, after which so much is heard.
    Other {
        early: &'static [u8],
        turns: Vec<(usize, usize)>,
        /// Whether it is the client that ends it.
        leaves: bool,
    },
}

/// Whether `100 Continue` is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expects {
    Nothing,
    /// And waited for.
    Waits,
    /// But not waited for.
    Hastes,
}

/// What a client does next.
#[derive(Debug)]
pub(crate) enum Step {
    Say(Vec<u8>),
    /// Until so many requests are answered.
    Await(usize),
    /// Until something is said to the request of this number.
    AwaitWord(usize),
    /// Until so much of another protocol is heard: if that is spoken.
    AwaitOther(usize),
    /// Something else is asked in between, so that no connection is met that has just ended.
    Clear,
    Stop,
    Reset,
}

/// More system calls than these would not tell more.
const CUTS: usize = 30;

/// The field that says for whom a request is meant: the run's number, and the request's.
pub(crate) const TAG: &str = "X-Twin";
/// Said there by who only clears the way.
pub(crate) const CLEAR: &str = "clear";

impl Stream {
    /// All that the client does.
    pub(crate) fn steps(&self, slot: &str, run: u64) -> Vec<Step> {
        let (mut steps, mut burst) = (Vec::new(), Vec::new());
        let last = self.requests.len() - 1;
        for (number, request) in self.requests.iter().enumerate() {
            let before = number.checked_sub(1).map(|before| &self.requests[before].act);
            if before.is_some_and(|before| !request.follows || before.leaves_unsaid()) {
                steps.push(Step::Say(std::mem::take(&mut burst)));
                steps.push(Step::Await(number));
            }
            if before.is_some_and(Act::leaves_unsaid) {
                steps.push(Step::Clear);
            }
            let (head, body) = (request.head(slot, run, number), request.body());
            if let (true, Ending::Stops(part) | Ending::Resets(part)) =
                (number == last, self.ending)
            {
                let whole = [head, body].concat();
                burst.extend(&whole[..(whole.len() - 1) * part / 1000]);
                steps.push(Step::Say(burst));
                steps.push(Step::Await(number));
                let stops = matches!(self.ending, Ending::Stops(_));
                steps.push(if stops { Step::Stop } else { Step::Reset });
                return steps;
            }
            burst.extend(head);
            if request.expects == Expects::Waits {
                steps.push(Step::Say(std::mem::take(&mut burst)));
                steps.push(Step::AwaitWord(number));
            }
            burst.extend(body);
        }
        steps.push(Step::Say(burst));
        if let Body::Other { turns, leaves, .. } = &self.requests[last].body {
            let mut heard = 0;
            for (said, hears) in turns {
                steps.push(Step::AwaitOther(heard));
                steps.push(Step::Say(filling(*said)));
                heard += hears;
            }
            steps.push(Step::AwaitOther(heard));
            steps.extend(leaves.then_some(Step::Stop));
        }
        steps.push(Step::Await(last + 1));
        steps
    }

    /// Where this is cut: somewhere in it, up to [`CUTS`] times.
    pub(crate) fn pieces<'b>(&self, burst: &'b [u8]) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let (most, mut dice) = (self.most, Random(self.seed));
        let (mut rest, mut cuts) = (burst, 0);
        let whole = if dice.one_in(2) { 0 } else { dice.below(burst.len().max(1)) };
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
    /// Whether it says that it would wait for `100 Continue`, and does not.
    pub(crate) fn hastes(&self) -> bool {
        let asks = self.lines.iter().any(|line| line.starts_with(b"Expect: 100"));
        self.expects == Expects::Hastes || asks && self.expects == Expects::Nothing
    }

    /// Whether it may break off in its midst, or what it lacks is only found there.
    pub(crate) fn may_break(&self, most: usize) -> bool {
        match &self.body {
            Body::Odd(..) => true,
            Body::Chunked { sizes, .. } => sizes.iter().sum::<usize>() > most,
            Body::None | Body::Length(_) | Body::Other { .. } => false,
        }
    }

    fn head(&self, slot: &str, run: u64, number: usize) -> Vec<u8> {
        let Request { method, route, target, version, .. } = self;
        let mut bytes = format!("{method} {slot}{route}{target} {version}\r\n").into_bytes();
        for line in &self.lines {
            bytes.extend(*line);
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("{TAG}: {run} {number}\r\n").bytes());
        if self.expects != Expects::Nothing {
            bytes.extend(b"Expect: 100-continue\r\n");
        }
        match &self.body {
            Body::None | Body::Other { .. } => {}
            Body::Length(length) => bytes.extend(format!("Content-Length: {length}\r\n").bytes()),
            Body::Chunked { .. } => bytes.extend(b"Transfer-Encoding: chunked\r\n"),
            Body::Odd(lines, _) => bytes.extend(lines.bytes()),
        }
        bytes.extend(b"\r\n");
        bytes
    }

    fn body(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Length(length) => filling(*length),
            Body::Chunked { sizes, extension, trailers } => chunked(sizes, extension, trailers),
            Body::Odd(_, bytes) | Body::Other { early: bytes, .. } => bytes.to_vec(),
        }
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
pub(crate) fn chunked(sizes: &[usize], extension: &str, trailers: &str) -> Vec<u8> {
    let content = filling(sizes.iter().sum());
    let (mut bytes, mut rest) = (Vec::new(), &content[..]);
    for size in sizes {
        let (chunk, after) = rest.split_at(*size);
        bytes.extend(format!("{size:x}{extension}\r\n").bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
        rest = after;
    }
    bytes.extend(format!("0{extension}\r\n{trailers}\r\n").bytes());
    bytes
}
