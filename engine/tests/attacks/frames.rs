//! A client that writes the frames of HTTP/2 by hand.

use super::support::{Gateway, within};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame, as it stands on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field that is not to be remembered, spelled out.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A string with its length in front (RFC 7541 §5.2).
pub(crate) fn text(text: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    let mut rest = text.len();
    if rest < 127 {
        length.push(rest as u8);
    } else {
        length.push(127);
        rest -= 127;
        while rest >= 128 {
            length.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        length.push(rest as u8);
    }
    [&length, text].concat()
}

/// `GET http://a.test` and this path, without anything else.
pub(crate) fn get(path: &str) -> Vec<u8> {
    request(b"GET", path.as_bytes(), b"a.test", &[])
}

pub(crate) fn request(
    method: &[u8],
    path: &[u8],
    authority: &[u8],
    fields: &[(&[u8], &[u8])],
) -> Vec<u8> {
    let mut block = field(b":method", method);
    block.extend(field(b":scheme", b"http"));
    block.extend(field(b":path", path));
    block.extend(field(b":authority", authority));
    fields.iter().for_each(|(name, value)| block.extend(field(name, value)));
    block
}

/// One frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The code with which a stream or a connection ends.
    pub(crate) fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status in a response's head, of those that have a code of their own.
    pub(crate) fn status(&self) -> Option<u16> {
        let first = self.payload.iter().find(|&&byte| !(0x20..0x40).contains(&byte))?;
        [(0x88, 200), (0x89, 204), (0x8c, 400), (0x8d, 404), (0x8e, 500)]
            .iter()
            .find_map(|(code, status)| (code == first).then_some(*status))
    }
}

/// How a connection ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    /// What the client was told, if anything.
    pub(crate) reason: Option<u32>,
    /// Its streams that were cut off, and why.
    pub(crate) resets: Vec<(u32, u32)>,
    /// Its streams that were answered.
    pub(crate) answered: Vec<(u32, Option<u16>)>,
}

/// A client's connection.
pub(crate) struct Frames(pub(crate) TcpStream);

impl Frames {
    /// Says the preface and these settings.
    pub(crate) async fn begin(gateway: &Gateway, settings: &[(u16, u32)]) -> Frames {
        Frames::at(gateway.addr, settings).await
    }

    pub(crate) async fn at(addr: SocketAddr, settings: &[(u16, u32)]) -> Frames {
        let mut client = Frames(within(TcpStream::connect(addr)).await.unwrap());
        client.0.set_nodelay(true).unwrap();
        let pair =
            |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let settings: Vec<u8> = settings.iter().flat_map(pair).collect();
        client.write(PREFACE).await;
        client.send(SETTINGS, 0, 0, &settings).await;
        client
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.unwrap();
    }

    /// The next frame; none when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        within(next(&mut self.0)).await
    }

    /// The next frame that is of the stream, or of none and ends the connection.
    pub(crate) async fn of(&mut self, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.stream == stream && frame.kind != WINDOW || frame.kind == GOAWAY {
                return Some(frame);
            }
        }
    }

    /// Writes all of it, as long as someone reads, and listens to the end.
    pub(crate) async fn pour(self, bytes: Vec<u8>) -> Ending {
        let (mut read, mut write) = self.0.into_split();
        let writing = tokio::spawn(async move {
            let _cut = write.write_all(&bytes).await;
            write // not closed before the other side does
        });
        let mut ending = Ending::default();
        while let Some(frame) = within(next(&mut read)).await {
            match frame.kind {
                GOAWAY => ending.reason = Some(frame.reason()),
                RESET => ending.resets.push((frame.stream, frame.reason())),
                HEADERS => ending.answered.push((frame.stream, frame.status())),
                _ => {}
            }
            // It waits for us to leave now, lest a reset overtake what it said.
            if ending.reason.is_some_and(|reason| reason != 0) {
                break;
            }
        }
        writing.abort();
        ending
    }
}

async fn next(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream: number, payload })
}
