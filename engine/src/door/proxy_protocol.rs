//! The PROXY protocol, versions 1 and 2: who is behind a balancer that speaks TCP only.
//!
//! A header precedes whatever else a connection carries, TLS included, and not a byte beyond it
//! is taken. [`Decoder`] keeps at most a line or two addresses of it: what a header says its
//! length is bounds what is skipped, never what is held. Who may be believed is not decided here,
//! but in `proxy/forwarded.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;

/// What every header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and the length of what follows.
const FIXED: usize = 16;
/// The longest line of version 1, its end included.
const LINE: usize = 107;
/// Looked at in one go.
pub(crate) const PEEK: usize = 256;

/// What a header says of a connection that was relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Where the client connected from.
    pub source: SocketAddr,
    /// And to.
    pub destination: SocketAddr,
}

/// Why what a connection begins with is no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It begins with something else.
    #[error("there is no PROXY header")]
    Missing,
    /// A line of version 1 that does not end where the longest would.
    #[error("the PROXY line is too long")]
    LineTooLong,
    /// A line of version 1 that says neither `UNKNOWN` nor two addresses and two ports.
    #[error("the PROXY line makes no sense")]
    Line,
    /// A version other than 2, or a command that is neither `LOCAL` nor `PROXY`.
    #[error("version or command of the PROXY header is unknown")]
    Command,
    /// Shorter than the addresses it is said to hold.
    #[error("the PROXY header is shorter than its addresses")]
    TooShort,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The client left without a word, as who only looks whether there is someone.
    #[error("the client said nothing")]
    Silent,
    /// The client left before it ended.
    #[error("the client left within the PROXY header")]
    Gone,
    /// It took too long.
    #[error("the PROXY header took too long")]
    TooLate,
    /// It said something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All that was fed belongs to it, and more is to come.
    More,
    /// It is complete.
    Complete {
        /// How much of what was fed last belongs to it.
        used: usize,
        /// Nothing where the balancer speaks for itself, or the family is not IP over TCP.
        relayed: Option<Relayed>,
    },
}

/// Reads a header, in whatever pieces it comes.
#[derive(Debug)]
pub struct Decoder {
    held: [u8; LINE],
    len: usize,
    /// Of version 2: still to be skipped.
    skip: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { held: [0; LINE], len: 0, skip: 0 }
    }
}

impl Decoder {
    /// Takes what came next. After an error, or when complete, it is of no further use.
    pub fn feed(&mut self, input: &[u8]) -> Result<Progress, Malformed> {
        for (at, byte) in input.iter().enumerate() {
            if let Some(relayed) = self.step(*byte)? {
                return Ok(Progress::Complete { used: at + 1, relayed });
            }
        }
        Ok(Progress::More)
    }

    fn step(&mut self, byte: u8) -> Result<Option<Option<Relayed>>, Malformed> {
        if self.skip > 0 {
            self.skip -= 1;
            return self.if_ended();
        }
        *self.held.get_mut(self.len).ok_or(Malformed::LineTooLong)? = byte;
        self.len += 1;
        match self.held.first() {
            Some(b'P') => self.line(),
            _ => self.binary(),
        }
    }

    fn held(&self) -> &[u8] {
        self.held.get(..self.len).unwrap_or_default()
    }

    /// Version 1: `PROXY TCP4 source destination port port` and CRLF.
    fn line(&self) -> Result<Option<Option<Relayed>>, Malformed> {
        const WORD: &[u8] = b"PROXY ";
        let held = self.held();
        let begun = held.len().min(WORD.len());
        if held.get(..begun) != WORD.get(..begun) {
            return Err(Malformed::Missing);
        }
        if held.ends_with(b"\n") {
            let line = held.strip_suffix(b"\r\n").ok_or(Malformed::Line)?;
            let line = line.strip_prefix(WORD).ok_or(Malformed::Line)?;
            return relayed_of_line(line).map(Some);
        }
        if held.len() == LINE { Err(Malformed::LineTooLong) } else { Ok(None) }
    }

    /// Version 2: the fixed part, addresses, and what is of no interest.
    fn binary(&mut self) -> Result<Option<Option<Relayed>>, Malformed> {
        let held = self.held();
        let begun = held.len().min(SIGNATURE.len());
        if held.get(..begun) != SIGNATURE.get(..begun) {
            return Err(Malformed::Missing);
        }
        if held.len() < FIXED {
            return Ok(None);
        }
        let kept = self.kept()?;
        if self.len < FIXED + kept {
            return Ok(None);
        }
        self.skip = self.length() - kept;
        self.if_ended()
    }

    /// How long what follows the fixed part is said to be.
    fn length(&self) -> usize {
        usize::from(u16::from_be_bytes([self.held[14], self.held[15]]))
    }

    /// How many bytes of addresses follow the fixed part that matter.
    fn kept(&self) -> Result<usize, Malformed> {
        let addresses = match (self.held[12], self.held[13]) {
            (0x20, _) => return Ok(0), // LOCAL: the balancer itself, as in a health check
            (0x21, 0x11) => 2 * (4 + 2),
            (0x21, 0x21) => 2 * (16 + 2),
            // UNIX sockets, datagrams, and what is not specified.
            (0x21, _) => return Ok(0),
            _ => return Err(Malformed::Command),
        };
        if self.length() < addresses { Err(Malformed::TooShort) } else { Ok(addresses) }
    }

    /// What was said, once nothing is left to skip.
    fn if_ended(&self) -> Result<Option<Option<Relayed>>, Malformed> {
        if self.skip > 0 {
            return Ok(None);
        }
        let addresses = self.held().get(FIXED..).unwrap_or_default();
        Ok(Some(relayed_of_bytes(addresses)))
    }
}

fn relayed_of_line(line: &[u8]) -> Result<Option<Relayed>, Malformed> {
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| Malformed::Line)?;
    let words: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, from, to] = words[..] else { return Err(Malformed::Line) };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let endpoint = |ip, port| Some(SocketAddr::new(address(ip)?, decimal(port)?));
    let relayed = endpoint(source, from).zip(endpoint(destination, to));
    let (source, destination) = relayed.ok_or(Malformed::Line)?;
    Ok(Some(Relayed { source, destination }))
}

/// A port as the protocol has it: digits, and no more of them than needed.
fn decimal(text: &str) -> Option<u16> {
    let fits = text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = fits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| fits)
}

fn relayed_of_bytes(bytes: &[u8]) -> Option<Relayed> {
    let (source, destination, ports): (IpAddr, IpAddr, &[u8]) = match bytes.len() {
        12 => {
            let (source, rest) = bytes.split_first_chunk::<4>()?;
            let (destination, ports) = rest.split_first_chunk::<4>()?;
            ((*source).into(), (*destination).into(), ports)
        }
        36 => {
            let (source, rest) = bytes.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            ((*source).into(), (*destination).into(), ports)
        }
        _ => return None,
    };
    let (from, to) = ports.split_first_chunk::<2>()?;
    let to = to.first_chunk::<2>()?;
    Some(Relayed {
        source: SocketAddr::new(source, u16::from_be_bytes(*from)),
        destination: SocketAddr::new(destination, u16::from_be_bytes(*to)),
    })
}

/// Takes the header a connection begins with, and leaves what follows where it is. Without
/// a deadline: the caller has one.
pub(crate) async fn receive(stream: &TcpStream) -> Result<Option<Relayed>, Failed> {
    let mut decoder = Decoder::default();
    let mut seen = [0; PEEK];
    loop {
        let came = stream.peek(&mut seen).await.unwrap_or(0);
        if came == 0 {
            return Err(if decoder.len == 0 { Failed::Silent } else { Failed::Gone });
        }
        let input = seen.get(..came).unwrap_or_default();
        match decoder.feed(input)? {
            Progress::More => consume(stream, &mut seen, came).await?,
            Progress::Complete { used, relayed } => {
                consume(stream, &mut seen, used).await?;
                return Ok(relayed);
            }
        }
    }
}

/// Reads away what has been looked at.
async fn consume(stream: &TcpStream, seen: &mut [u8], mut count: usize) -> Result<(), Failed> {
    while count > 0 {
        stream.readable().await.map_err(|_| Failed::Gone)?;
        match stream.try_read(seen.get_mut(..count).unwrap_or_default()) {
            Ok(0) => return Err(Failed::Gone),
            Ok(read) => count -= read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Failed::Gone),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
