//! Reads messages off a wire and keeps all of them that could make a difference.

/// A message as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) line: Vec<u8>,
    /// In the order they came.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) framing: Framing,
    /// Without the marks of chunks.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<u8>,
    /// Whether it came to its end.
    pub(crate) whole: bool,
}

/// What says where a message ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    Nothing,
    Length,
    Chunks,
    /// The end of the connection.
    End,
    /// It makes no sense.
    Nonsense,
}

/// What kind of message is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Request,
    Response { to_head: bool },
}

impl Message {
    /// The message these bytes begin with and its length. `None` if more of it is to come, which
    /// after the end of the connection is never so.
    pub(crate) fn read(bytes: &[u8], kind: Kind, ended: bool) -> Option<(Message, usize)> {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            let (line, framing) = (bytes.to_vec(), Framing::Nonsense);
            return ended.then(|| (Message::of(line, Vec::new(), framing), bytes.len()));
        };
        let mut lines = bytes[..end]
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default().to_vec();
        let field = |line: &[u8]| {
            let at = find(line, b": ").unwrap_or(line.len());
            (line[..at].to_vec(), line.get(at + 2..).unwrap_or_default().to_vec())
        };
        let mut message = Message::of(line, lines.map(field).collect(), Framing::Nothing);
        let body = &bytes[end + 4..];
        message.framing = message.framing(kind);
        let length = message.take_body(body, ended)?;
        Some((message, end + 4 + length))
    }

    /// What a message begins with, without its body.
    pub(crate) fn head(bytes: &[u8]) -> Option<Message> {
        let end = find(bytes, b"\r\n\r\n")? + 4;
        Message::read(&bytes[..end], Kind::Response { to_head: true }, true).map(|read| read.0)
    }

    /// How much of another protocol there is in these bytes, behind the answer that grants it.
    pub(crate) fn other(bytes: &[u8]) -> Option<usize> {
        let granted = bytes.starts_with(b"HTTP/1.1 101 ");
        Some(bytes.len() - find(bytes, b"\r\n\r\n").filter(|_| granted)? - 4)
    }

    fn of(line: Vec<u8>, fields: Vec<(Vec<u8>, Vec<u8>)>, framing: Framing) -> Message {
        Message { line, fields, framing, body: Vec::new(), trailers: Vec::new(), whole: false }
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.fields.iter();
        let fields = fields.filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        fields.map(|(_, value)| &value[..])
    }

    pub(crate) fn status(&self) -> u16 {
        let code = self.line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        std::str::from_utf8(code).ok().and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Whether it is a response that does not answer its request yet.
    pub(crate) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status()) && self.status() != 101
    }

    fn framing(&self, kind: Kind) -> Framing {
        let status = self.status();
        let bare = match kind {
            Kind::Request => false,
            Kind::Response { to_head } => {
                to_head || (100..200).contains(&status) || status == 204 || status == 304
            }
        };
        let codings: Vec<_> = self.all("Transfer-Encoding").collect();
        let lengths: Vec<_> = self.all("Content-Length").collect();
        match (codings.as_slice(), lengths.as_slice(), kind) {
            _ if status == 101 && kind != Kind::Request => Framing::End,
            _ if bare => Framing::Nothing,
            ([coding], [], _) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunks,
            ([], [_], _) => Framing::Length,
            ([], [], Kind::Request) => Framing::Nothing,
            ([], [], Kind::Response { .. }) => Framing::End,
            _ => Framing::Nonsense,
        }
    }

    /// Takes what is its body; how much that was, with all its marks.
    fn take_body(&mut self, bytes: &[u8], ended: bool) -> Option<usize> {
        match self.framing {
            Framing::Nothing => {
                self.whole = true;
                Some(0)
            }
            Framing::Length => {
                let length = self.all("Content-Length").next().unwrap_or_default();
                let length = std::str::from_utf8(length).ok()?.parse().ok()?;
                self.whole = bytes.len() >= length;
                let here = length.min(bytes.len());
                self.body = bytes[..here].to_vec();
                (self.whole || ended).then_some(here)
            }
            Framing::Chunks => self.take_chunks(bytes, ended),
            Framing::End | Framing::Nonsense => {
                self.body = bytes.to_vec();
                self.whole = ended && self.framing == Framing::End;
                ended.then_some(bytes.len())
            }
        }
    }

    fn take_chunks(&mut self, bytes: &[u8], ended: bool) -> Option<usize> {
        let mut rest = bytes;
        while let Some((size, after)) = size_line(rest) {
            if size == 0 {
                let Some(end) = trailers_end(after) else { break };
                self.trailers = after[..end].to_vec();
                self.whole = true;
                return Some(bytes.len() - after.len() + end);
            }
            let here = size.min(after.len());
            self.body.extend(&after[..here]);
            let Some(next) = after.get(size..).and_then(|after| after.strip_prefix(b"\r\n")) else {
                break;
            };
            rest = next;
        }
        if ended {
            return Some(bytes.len());
        }
        self.body.clear();
        None
    }
}

/// The size a chunk begins with, and what follows that line.
fn size_line(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = find(bytes, b"\r\n")?;
    let size = std::str::from_utf8(&bytes[..end]).ok()?;
    let size = size.split(';').next()?.trim();
    Some((usize::from_str_radix(size, 16).ok()?, &bytes[end + 2..]))
}

/// Where the part behind the last chunk ends, with the empty line.
fn trailers_end(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") { Some(2) } else { Some(find(bytes, b"\r\n\r\n")? + 4) }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}
