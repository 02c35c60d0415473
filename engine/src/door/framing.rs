//! Where a request's body ends.
//!
//! A [`Body`] is fed the bytes that follow a head, in whatever pieces they come,
//! and says how many of them still belong to it. It reads the chunked coding
//! strictly (RFC 9112 §7.1), more strictly than whoever reads it next, so the two
//! cannot disagree; how the bytes are cut never changes the answer.

use crate::proxy::head::{is_field_value, is_token};
use crate::proxy::hygiene::Framing;
use memchr::memchr;

/// Longest chunk-size line and longest trailer line, without their CRLF.
const LINE: usize = 4096;
/// Bytes of extensions accepted beyond one per byte of data.
const EXTENSIONS: u64 = 16 * 1024;
/// All trailer lines together.
const TRAILERS: usize = 8 * 1024;
/// Hex digits of a chunk's size. Fifteen cannot overflow.
const DIGITS: usize = 15;

/// Why what follows a head is not a chunked body. The connection is of no use
/// afterwards: nobody knows where the next request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// No hex digits, too many of them, or something else beside them.
    #[error("malformed chunk size")]
    Size,
    /// An extension that does not start with `;`, or with a control character in it.
    #[error("malformed chunk extension")]
    Extension,
    /// One chunk-size line, or extensions compared with the data, are too long.
    #[error("chunk extensions too long")]
    ExtensionTooLong,
    /// A CR without its LF, or an LF without its CR.
    #[error("chunk line does not end with CRLF")]
    LineEnd,
    /// Data that is not followed by CRLF.
    #[error("chunk data does not end with CRLF")]
    DataEnd,
    /// A trailer line that is not a field line.
    #[error("malformed trailer")]
    Trailer,
    /// The trailer section is too long.
    #[error("trailers too long")]
    TrailerTooLong,
}

impl From<ChunkError> for std::io::Error {
    fn from(error: ChunkError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// A body being passed on: how much of it is still to come.
#[derive(Debug)]
pub enum Body {
    /// This many more bytes.
    Length(u64),
    /// Up to the end of the last chunk's trailers.
    Chunked(Chunks),
}

impl Body {
    /// The body of a request with that framing.
    pub fn new(framing: Framing) -> Body {
        match framing {
            Framing::Empty => Body::Length(0),
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::default()),
        }
    }

    /// Takes what came next and says how much of it belongs to this body: all of
    /// it, unless the body ends within. After an error nothing it says means anything.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, ChunkError> {
        self.decode(input, |_| {})
    }

    /// The same, and gives `data` what it carries, without its framing.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<usize, ChunkError> {
        match self {
            Body::Length(left) => {
                let taken = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                data(input.get(..taken).unwrap_or_default());
                Ok(taken)
            }
            Body::Chunked(chunks) => chunks.decode(input, data),
        }
    }

    /// How much is still to come, if that is known; something, if not.
    pub(crate) fn left(&self) -> u64 {
        match self {
            Body::Length(left) => *left,
            Body::Chunked(_) => u64::from(!self.is_done()),
        }
    }

    /// Whether the last byte has been fed.
    pub fn is_done(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => chunks.part == Part::Done,
        }
    }
}

/// The chunked coding, read.
#[derive(Debug)]
pub struct Chunks {
    part: Part,
    /// The line being read, where it did not come in one piece.
    line: Vec<u8>,
    /// Extension bytes that may still come; every byte of data allows one more.
    spare: u64,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Size,
    Data(u64),
    DataCr,
    DataLf,
    Trailer,
    Done,
}

impl Default for Chunks {
    fn default() -> Chunks {
        Chunks { part: Part::Size, line: Vec::new(), spare: EXTENSIONS, trailers: 0 }
    }
}

impl Chunks {
    /// Of an upstream, which may say what it likes beside its data: extensions end here, line by line,
    /// and its time to go on is bounded by what moves.
    pub(crate) fn of_answer() -> Chunks {
        Chunks { spare: u64::MAX, ..Chunks::default() }
    }

    fn decode(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, ChunkError> {
        let mut rest = input;
        while self.part != Part::Done && !rest.is_empty() {
            rest = match self.part {
                Part::Size | Part::Trailer => self.line(rest)?,
                Part::Data(left) => {
                    let (taken, rest) = self.data(left, rest);
                    data(taken);
                    rest
                }
                Part::DataCr => self.expect(b'\r', Part::DataLf, rest)?,
                Part::DataLf => self.expect(b'\n', Part::Size, rest)?,
                Part::Done => rest,
            };
        }
        Ok(input.len() - rest.len())
    }

    fn data<'i>(&mut self, left: u64, input: &'i [u8]) -> (&'i [u8], &'i [u8]) {
        let taken = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - taken as u64;
        self.part = if left == 0 { Part::DataCr } else { Part::Data(left) };
        input.split_at(taken)
    }

    fn expect<'i>(
        &mut self,
        byte: u8,
        next: Part,
        input: &'i [u8],
    ) -> Result<&'i [u8], ChunkError> {
        match input.split_first() {
            Some((&first, rest)) if first == byte => {
                self.part = next;
                Ok(rest)
            }
            _ => Err(ChunkError::DataEnd),
        }
    }

    /// A size line or a trailer line, whole or in pieces. What has come of it is
    /// checked even while its end is not there yet, so that a wrong line fails at
    /// its first wrong byte, however it is cut.
    fn line<'i>(&mut self, input: &'i [u8]) -> Result<&'i [u8], ChunkError> {
        let end = memchr(b'\n', input).map(|at| at + 1);
        let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
        // A wrong line is not worth keeping more of than shows it to be too long.
        let room = (LINE + 3).saturating_sub(self.line.len());
        let kept = piece.get(..room).unwrap_or(piece);
        if end.is_some() && self.line.is_empty() && kept.len() == piece.len() {
            self.ended(piece)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(kept);
            if end.is_some() && kept.len() == piece.len() {
                self.ended(&line)?;
            } else {
                self.begun(&line)?;
                self.line = line;
            }
        }
        Ok(rest)
    }

    /// Checks a line whose LF has not come. A CR may only be its last byte.
    fn begun(&self, line: &[u8]) -> Result<(), ChunkError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.part {
            Part::Trailer => self.check_trailer(line, false),
            _ => self.check_size(line, false).map(|_| ()),
        }
    }

    fn ended(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(line) = bare.strip_suffix(b"\r") else {
            // Whatever else is wrong with it comes first, as it would if it came in pieces.
            self.begun(bare)?;
            return Err(ChunkError::LineEnd);
        };
        if self.part == Part::Trailer {
            self.check_trailer(line, true)?;
            self.trailers += line.len();
            self.part = if line.is_empty() { Part::Done } else { Part::Trailer };
        } else {
            let (size, extensions) = self.check_size(line, true)?;
            self.spare = (self.spare - extensions).saturating_add(size);
            self.part = if size == 0 { Part::Trailer } else { Part::Data(size) };
        }
        Ok(())
    }

    /// `chunk-size [ chunk-ext ]`: the size and the length of the extensions.
    fn check_size(&self, line: &[u8], whole: bool) -> Result<(u64, u64), ChunkError> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > DIGITS || (digits == 0 && (whole || !line.is_empty())) {
            return Err(ChunkError::Size);
        }
        let (hex, extensions) = line.split_at(digits);
        check_extensions(extensions, whole)?;
        let length = extensions.len() as u64;
        if line.len() > LINE || length > self.spare {
            return Err(ChunkError::ExtensionTooLong);
        }
        let nibble = |byte: &u8| u64::from((*byte as char).to_digit(16).unwrap_or(0));
        Ok((hex.iter().fold(0, |size, byte| size << 4 | nibble(byte)), length))
    }

    fn check_trailer(&self, line: &[u8], whole: bool) -> Result<(), ChunkError> {
        match memchr(b':', line) {
            Some(colon) => {
                let (name, value) = line.split_at(colon);
                if !is_token(name) || !is_field_value(value) {
                    return Err(ChunkError::Trailer);
                }
            }
            None if line.is_empty() => {}
            None if whole || !is_token(line) => return Err(ChunkError::Trailer),
            None => {}
        }
        if line.len() > LINE || self.trailers + line.len() > TRAILERS {
            return Err(ChunkError::TrailerTooLong);
        }
        Ok(())
    }
}

/// Nothing, or `;` after optional white space and then anything without control
/// characters: stricter than the readers behind us, who take any byte, and all
/// that matters to where the line ends.
fn check_extensions(text: &[u8], whole: bool) -> Result<(), ChunkError> {
    let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let fits = match text.get(blank) {
        Some(first) => *first == b';' && is_field_value(text),
        None => blank == 0 || !whole,
    };
    match fits {
        true => Ok(()),
        // A letter right after the digits is a wrong size rather than a wrong extension.
        false if blank == 0 && !text.starts_with(b";") => Err(ChunkError::Size),
        false => Err(ChunkError::Extension),
    }
}

#[cfg(test)]
mod tests;
