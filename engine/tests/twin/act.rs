//! What an origin is told to do with a request, in words that fit into a header field.

use super::dice::Dice;
use super::said::{chunked, filling};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Act {
    pub(crate) status: u16,
    pub(crate) body: Answered,
    /// Which of [`LINES`] the head has, one bit each.
    pub(crate) lines: u32,
}

/// How an answer says where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answered {
    Length(usize),
    /// In chunks of so many bytes, but for a last one.
    Chunked(usize, usize),
    /// Not at all: there is none.
    None,
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
    "x-LoWeR: Value",
    "Keep-Alive: timeout=5",
    "X-Accel-Buffering: no",
];

impl Act {
    pub(crate) fn some(dice: &mut Dice) -> Act {
        let size = some_size(dice);
        let body = match dice.below(8) {
            0..4 => Answered::Length(size),
            4..7 => Answered::Chunked(size, 1 + dice.below(size + 1)),
            _ => Answered::Length(0),
        };
        let status = dice.pick(&[200, 200, 200, 201, 204, 301, 304, 404, 500]);
        let body = if status == 204 || status == 304 { Answered::None } else { body };
        let lines = (0..LINES.len()).filter(|_| dice.one_in(6)).fold(0, |bits, at| bits | 1 << at);
        Act { status, body, lines }
    }

    /// Acts that are a little less.
    pub(crate) fn simpler(&self) -> Vec<Act> {
        let mut all = Vec::new();
        for at in (0..LINES.len()).filter(|at| self.lines & 1 << at != 0) {
            all.push(Act { lines: self.lines & !(1 << at), ..self.clone() });
        }
        let body = match self.body {
            Answered::Length(1..) => Answered::Length(0),
            Answered::Chunked(size, chunk) if size > 1 && chunk > 1 => {
                Answered::Chunked(size / 2, chunk / 2)
            }
            Answered::Chunked(..) => Answered::Length(0),
            body => body,
        };
        if body != self.body {
            all.push(Act { body, ..self.clone() });
        }
        all
    }

    /// What it says, to a request that is HEAD or not.
    pub(crate) fn says(&self, is_head: bool) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} As Asked\r\n", self.status).into_bytes();
        for (at, line) in LINES.iter().enumerate() {
            if self.lines & 1 << at != 0 {
                bytes.extend(line.bytes());
                bytes.extend(b"\r\n");
            }
        }
        let body = match self.body {
            Answered::None => Vec::new(),
            Answered::Length(length) => {
                bytes.extend(format!("Content-Length: {length}\r\n").bytes());
                filling(length)
            }
            Answered::Chunked(size, chunk) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n");
                let mut sizes = vec![chunk; size / chunk];
                sizes.extend((size % chunk != 0).then_some(size % chunk));
                chunked(&sizes)
            }
        };
        bytes.extend(b"\r\n");
        if !is_head {
            bytes.extend(body);
        }
        bytes
    }
}

/// Nothing, little, or around where buffers end.
pub(crate) fn some_size(dice: &mut Dice) -> usize {
    let most = dice.pick(&[1, 10, 100, 1000, 5000, 9000, 20_000, 80_000]);
    dice.below(most + 1)
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Act { status, body, lines } = self;
        write!(f, "{status} {lines} ")?;
        match body {
            Answered::None => write!(f, "none"),
            Answered::Length(length) => write!(f, "length {length}"),
            Answered::Chunked(size, chunk) => write!(f, "chunked {size} {chunk}"),
        }
    }
}

impl FromStr for Act {
    type Err = ();

    fn from_str(text: &str) -> Result<Act, ()> {
        let mut words = text.split(' ');
        let number = |words: &mut std::str::Split<'_, char>| words.next()?.parse::<usize>().ok();
        let (status, lines) = (number(&mut words).ok_or(())?, number(&mut words).ok_or(())?);
        let body = match words.next().ok_or(())? {
            "length" => Answered::Length(number(&mut words).ok_or(())?),
            "chunked" => {
                Answered::Chunked(number(&mut words).ok_or(())?, number(&mut words).ok_or(())?)
            }
            "none" => Answered::None,
            _ => return Err(()),
        };
        Ok(Act { status: status as u16, body, lines: lines as u32 })
    }
}
