//! What an origin does with a request.

use super::random::Random;
use super::said::{chunked, filling};
use std::fmt;
use std::sync::LazyLock;

/// An answer, and what comes before and after it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Act {
    /// Interim answers before the one that counts.
    pub(crate) interim: Vec<u16>,
    pub(crate) version: &'static str,
    pub(crate) status: u16,
    pub(crate) body: Answered,
    pub(crate) lines: Vec<&'static str>,
    /// No piece that is sent is longer than this.
    pub(crate) most: usize,
    /// Said when the head of the request has come, whatever is to come of its body.
    pub(crate) early: bool,
    pub(crate) after: After,
}

/// How an answer says where it ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answered {
    Length(usize),
    /// In chunks of so many bytes, but for a last one, and with these lines behind it.
    Chunked {
        size: usize,
        chunk: usize,
        extension: &'static str,
        trailers: &'static str,
    },
    /// With the connection.
    ToEnd(usize),
    /// Not at all: there is none.
    None,
    /// Not at all, though these lines say something of one.
    Bare(&'static str),
    /// Another protocol, spoken in turns: so much is read, and so much said then.
    Switched {
        turns: Vec<(usize, usize)>,
        /// Whether the client ends it.
        waits: bool,
    },
    /// One of [`ODD`], whole.
    Odd(Bytes),
}

/// Readable bytes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Bytes(&'static [u8]);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum After {
    Keeps,
    /// Ends it, in the same breath.
    Closes,
    /// Ends it after so many thousandths of the answer.
    Cuts(usize),
    /// Ends it without a word there, and what is on its way with it.
    Resets(usize),
    /// Ends it without an answer.
    HangsUp,
}

/// Lines that heads of answers may have.
const LINES: &[&str] = &[
    "Content-Type: text/html",
    "Content-Type: application/json",
    "Server: origin/1",
    "Set-Cookie: a=1",
    "Set-Cookie: b=2; Path=/",
    "ETag: \"x\"",
    "Date: Sun, 06 Nov 1994 08:49:37 GMT",
    "Via: 1.1 before",
    "Connection: keep-alive",
    "Connection: X-Hop",
    "X-Hop: 1",
    "X-Odd: a\tb",
    "X-Empty:",
    "X-Spaces:  \t both \t ",
    "x-LoWeR: Value",
    "X_Under: 1",
    "Keep-Alive: timeout=5",
    "Upgrade: h2c",
    "Trailer: X-Sum",
    "Location: /elsewhere",
    "X-Accel-Buffering: no",
    "X-Accel-Redirect: /internal",
    "X-Folded: a\r\n b",
    "X-Folded:\r\n\t a \r\n \t b\n c",
    "X-Kong-Upstream-Status: 7",
    "X-Kong-Request-Id: theirs",
];

/// One of which that is found when some of its body has been passed on.
const WRONG_WITHIN: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n";

/// Answers that are not as they should be.
const ODD: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 103 Early\r\nContent-Length: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 Two  Words \xe9\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Folded: a\r\n b\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\n Folded: a\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n 3\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Folded: a\r\n \r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x,\r\n close\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 2\r\nX-A: a\n\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nX-A : 2\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nX(Y): 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nX-Bell: a\x07b\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nX-High: \xff\xe9\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nX-Cr: a\rb\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nX-NoSpace:a\r\nContent-Length:2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    WRONG_WITHIN,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n02\r\nab\r\n000\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ncd",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
];

/// What is said of a body where there is none.
const BARE: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
];
/// Lengths that are none, or more than one.
const ODD_LENGTHS: &[&str] = &[
    "Content-Length: x\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: +2\r\n",
    "Content-Length: 2, 2\r\n",
    "Content-Length: 2, 3\r\n",
    "Content-Length: \r\n",
    "Content-Length: 2\r\nContent-Length: 2\r\n",
    "Content-Length: 2\r\nContent-Length: 3\r\n",
    "Content-Length: 0x2\r\n",
    "Content-Length: 02\r\n",
    "Content-Length: 18446744073709551616\r\n",
];
/// Heads that are long in one way or the other, around where there are limits.
static LONG: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let many = [90, 200, 245, 250, 251, 252, 253, 254, 255, 256, 257, 300];
    let many = many.map(|count| (0..count).map(|at| format!("X-{at}: {at}\r\n")).collect());
    let large = [8_000, 33_000, 70_000, 300_000, 1_040_000, 3_000_000];
    let large = large.map(|length| format!("X-Large: {}\r\n", "x".repeat(length)));
    let all = many.into_iter().chain(large);
    all.map(|text: String| text.trim_end().to_owned().leak() as &str).collect()
});

const TRAILERS: &[&str] =
    &["", "", "", "X-Sum: 1\r\n", "X-A: 1\r\nX-B: 2\r\n", "Content-Length: 3\r\n"];
const EXTENSIONS: &[&str] = &["", "", "", ";a=b", ";a=\"b;c\"", " ;x"];

impl Act {
    /// To a request that is HEAD or not.
    pub(crate) fn some(dice: &mut Random, is_head: bool) -> Act {
        let size = some_size(dice);
        let version = if dice.one_in(12) { "HTTP/1.0" } else { "HTTP/1.1" };
        let status = dice.pick(&[200, 200, 200, 200, 201, 204, 206, 301, 304, 404, 500, 503, 599]);
        let body = match some_answered(dice, size) {
            Answered::Odd(odd) => Answered::Odd(odd),
            _ if dice.one_in(60) => Answered::Bare(dice.pick(ODD_LENGTHS)),
            _ if is_head || status == 204 || status == 304 => match dice.one_in(3) {
                true => Answered::Bare(dice.pick(BARE)),
                false => Answered::None,
            },
            Answered::Chunked { .. } if version == "HTTP/1.0" => Answered::ToEnd(size),
            body => body,
        };
        let after = match dice.below(26) {
            _ if matches!(body, Answered::ToEnd(_) | Answered::Odd(_) | Answered::Bare(_)) => {
                After::Closes
            }
            0..3 => After::Closes,
            3 => After::Cuts(dice.below(1000)),
            4 => After::HangsUp,
            5 => After::Resets(dice.below(1000)),
            6 => After::Resets(0),
            _ => After::Keeps,
        };
        let mut lines: Vec<_> = LINES.iter().copied().filter(|_| dice.one_in(8)).collect();
        if dice.one_in(100) {
            lines.push(dice.pick(&LONG));
        }
        if after == After::Closes && dice.one_in(2) {
            lines.push("Connection: close");
        }
        let interim = match dice.below(100) {
            0 => dice.pick(&[100, 999, 1000, 1001]),
            _ => dice.below(8).saturating_sub(5),
        };
        let interim = (0..interim).map(|_| dice.pick(&[100, 102, 103, 199])).collect();
        let most = dice.pick(&[usize::MAX, usize::MAX, usize::MAX, 10_000, 1000, 30]);
        Act { interim, version, status, body, lines, most, early: false, after }
    }

    /// The other side of a conversation in turns.
    pub(crate) fn switches(turns: Vec<(usize, usize)>, waits: bool) -> Act {
        let body = Answered::Switched { turns, waits };
        let lines = vec!["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: x"];
        let (version, status, interim) = ("HTTP/1.1", 101, Vec::new());
        let (most, early, after) = (usize::MAX, false, After::Closes);
        Act { interim, version, status, body, lines, most, early, after }
    }

    /// Whether the connection ends and the head does not say so, or not at once: then it is a matter
    /// of chance whether who asks again does so on that connection, in vain.
    pub(crate) fn leaves_unsaid(&self) -> bool {
        let is_said = self.lines.contains(&"Connection: close") && !self.is_odd();
        self.after != After::Keeps && !is_said
    }

    /// Whether it ends or goes wrong in its midst, and whoever passes it on hears of that at once.
    pub(crate) fn breaks_off(&self) -> bool {
        let is_wrong = self.body == Answered::Odd(Bytes(WRONG_WITHIN));
        is_wrong || matches!(self.after, After::Resets(_))
    }

    /// Whether it is said whole as it is, without any of the lines.
    fn is_odd(&self) -> bool {
        matches!(self.body, Answered::Odd(_))
    }

    /// Whether the connection goes on after the answer to a request that is HEAD or not.
    pub(crate) fn keeps(&self, is_head: bool) -> bool {
        let is_bare = is_head || matches!(self.status, 204 | 304);
        self.after == After::Keeps && (is_bare || self.body != Answered::None)
    }

    /// Acts that are a little less.
    pub(crate) fn simpler(&self) -> Vec<Act> {
        let mut all = Vec::new();
        for at in 0..self.lines.len() {
            let mut lines = self.lines.clone();
            lines.remove(at);
            all.push(Act { lines, ..self.clone() });
        }
        if let [_, rest @ ..] = self.interim.as_slice() {
            let fewer = [&rest[..rest.len() / 2], rest];
            all.extend(fewer.map(|rest| Act { interim: rest.to_vec(), ..self.clone() }));
        }
        all.push(Act { status: if self.status < 200 { self.status } else { 200 }, ..self.clone() });
        all.push(Act { version: "HTTP/1.1", ..self.clone() });
        all.push(Act { most: usize::MAX, ..self.clone() });
        if self.after != After::Keeps
            && !matches!(self.body, Answered::ToEnd(_) | Answered::Bare(_))
        {
            all.push(Act { after: After::Keeps, ..self.clone() });
        }
        if self.early {
            all.push(Act { early: false, ..self.clone() });
        }
        let body = match self.body {
            Answered::Length(size) => Answered::Length(size / 2),
            Answered::ToEnd(size) => Answered::ToEnd(size / 2),
            Answered::Chunked { size, chunk, .. } if size > 1 => {
                let chunk = chunk.div_ceil(2);
                Answered::Chunked { size: size / 2, chunk, extension: "", trailers: "" }
            }
            Answered::Chunked { .. } => Answered::Length(0),
            ref body => body.clone(),
        };
        all.push(Act { body, ..self.clone() });
        all.retain(|act| act != self);
        all
    }

    /// What it says, to a request that is HEAD or not.
    pub(crate) fn says(&self, is_head: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for status in &self.interim {
            bytes.extend(format!("HTTP/1.1 {status} Interim\r\nX-Early: {status}\r\n\r\n").bytes());
        }
        if let Answered::Odd(Bytes(odd)) = self.body {
            bytes.extend(odd);
            return bytes;
        }
        bytes.extend(format!("{} {} As Asked\r\n", self.version, self.status).bytes());
        for line in &self.lines {
            bytes.extend(line.bytes());
            bytes.extend(b"\r\n");
        }
        let body = match self.body {
            Answered::None | Answered::Odd(_) | Answered::Switched { .. } => Vec::new(),
            Answered::Bare(lines) => {
                bytes.extend(lines.bytes());
                Vec::new()
            }
            Answered::ToEnd(length) => filling(length),
            Answered::Length(length) => {
                bytes.extend(format!("Content-Length: {length}\r\n").bytes());
                filling(length)
            }
            Answered::Chunked { size, chunk, extension, trailers } => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n");
                let mut sizes = vec![chunk; size / chunk];
                sizes.extend((size % chunk != 0).then_some(size % chunk));
                chunked(&sizes, extension, trailers)
            }
        };
        bytes.extend(b"\r\n");
        if !is_head {
            bytes.extend(body);
        }
        match self.after {
            After::Cuts(part) => bytes.truncate(bytes.len() * part / 1000),
            // No more than is on its way at once: what has not left is not sent any more.
            After::Resets(part) => bytes.truncate((bytes.len() * part / 1000).min(30_000)),
            After::Keeps | After::Closes | After::HangsUp => {}
        }
        bytes
    }
}

fn some_answered(dice: &mut Random, size: usize) -> Answered {
    match dice.below(20) {
        0..9 => Answered::Length(size),
        9..16 => Answered::Chunked {
            size,
            chunk: 1 + dice.below(size + 1),
            extension: dice.pick(EXTENSIONS),
            trailers: dice.pick(TRAILERS),
        },
        16..18 => Answered::ToEnd(size),
        18 => Answered::Odd(Bytes(dice.pick(ODD))),
        _ => Answered::Length(0),
    }
}

/// Nothing, little, or around where buffers end.
pub(crate) fn some_size(dice: &mut Random) -> usize {
    let most = dice.pick(&[1, 10, 100, 1000, 5000, 9000, 20_000, 80_000]);
    dice.below(most + 1)
}
