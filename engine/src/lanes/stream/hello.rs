//! Whom a TLS client asks for, read from its first message and without answering it.
//!
//! The message may be cut into records and the records into packets. What was read is kept, to
//! be passed on or read again, and is bounded.

use super::socket::Socket;
use std::io;

/// The longest first message that is waited for. The longest seen are of some 2 KiB, those of
/// clients with large post-quantum keys of 5.
const LONGEST: usize = 16 * 1024;

/// Kinds of records and messages (RFC 8446 §5.1, §4) and the name's extension (RFC 6066 §3).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Why there is no first message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The client left, perhaps without a word.
    #[error("the client left before it said whom it wants")]
    Gone,
    /// It speaks something else.
    #[error("the client does not begin with a TLS handshake")]
    NotTls,
    /// It begins with a handshake that makes no sense.
    #[error("the first message of the TLS handshake is damaged")]
    Damaged,
    /// It goes on for too long.
    #[error("the first message of the TLS handshake is longer than {LONGEST} bytes")]
    TooLong,
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// What a client began with.
#[derive(Debug)]
pub(super) struct Hello {
    /// All that was read.
    pub(super) bytes: Vec<u8>,
    /// The name it asks for, in lower case, if it asks for one.
    pub(super) name: Option<Box<str>>,
}

/// Reads a client's first message. Without a deadline: the caller has one.
pub(super) async fn receive(socket: &Socket) -> Result<Hello, Failed> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 2048];
    loop {
        match socket.read(&mut chunk)? {
            Some(0) => return Err(Failed::Gone),
            Some(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            None => {
                socket.readable().await?;
                continue;
            }
        }
        if let Some(name) = name_in(&bytes)? {
            return Ok(Hello { bytes, name });
        }
        if bytes.len() >= LONGEST {
            return Err(Failed::TooLong);
        }
    }
}

/// The name in these bytes, once they hold the whole message.
fn name_in(bytes: &[u8]) -> Result<Option<Option<Box<str>>>, Failed> {
    let mut message = Vec::new();
    let mut rest = Reader(bytes);
    loop {
        // What a record begins with is looked at as soon as it is there.
        match rest.0 {
            [] => return Ok(None),
            [HANDSHAKE] | [HANDSHAKE, 3, ..] => {}
            _ if message.is_empty() => return Err(Failed::NotTls),
            _ => return Err(Failed::Damaged),
        }
        let Some(record) = rest.skip(3).and_then(|()| rest.long()) else { return Ok(None) };
        if record.1 == 0 {
            return Err(Failed::Damaged); // no handshake has an empty record
        }
        message.extend_from_slice(record.0);
        let is_whole = record.0.len() == record.1;
        if let [kind, a, b, c, body @ ..] = &*message {
            if *kind != CLIENT_HELLO {
                return Err(Failed::Damaged);
            }
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > LONGEST {
                return Err(Failed::TooLong);
            }
            if let Some(body) = body.get(..length) {
                return name_of(body).ok_or(Failed::Damaged).map(Some);
            }
        }
        if !is_whole {
            return Ok(None);
        }
    }
}

/// The name a ClientHello asks for, if it makes sense (RFC 8446 §4.1.2).
fn name_of(body: &[u8]) -> Option<Option<Box<str>>> {
    let mut hello = Reader(body);
    hello.skip(2 + 32)?;
    hello.short_vector()?; // session
    hello.vector()?; // ciphers
    hello.short_vector()?; // compression
    if hello.0.is_empty() {
        return Some(None); // TLS 1.2 and before know hellos without extensions
    }
    let mut extensions = Reader(hello.vector()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.vector()?;
        if kind == SERVER_NAME {
            return host_name(content);
        }
    }
    Some(None)
}

fn host_name(content: &[u8]) -> Option<Option<Box<str>>> {
    let mut names = Reader(Reader(content).vector()?);
    while !names.0.is_empty() {
        let [kind] = *names.take(1)? else { return None };
        let name = names.vector()?;
        if kind == HOST_NAME {
            let name = std::str::from_utf8(name).ok().filter(|name| name.is_ascii())?;
            return Some((!name.is_empty()).then(|| name.to_ascii_lowercase().into()));
        }
    }
    Some(None)
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).and_then(|two| Some(u16::from_be_bytes(two.try_into().ok()?)))
    }

    /// Bytes behind their count, of one byte.
    fn short_vector(&mut self) -> Option<&'a [u8]> {
        let [count] = *self.take(1)? else { return None };
        self.take(count.into())
    }

    /// The same, of two bytes.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.take(count.into())
    }

    /// As much as there is of a vector, and how long it is said to be.
    fn long(&mut self) -> Option<(&'a [u8], usize)> {
        let count = usize::from(self.number()?);
        let taken = self.take(count.min(self.0.len()))?;
        Some((taken, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A hello with these extensions, in records of so many bytes.
    fn hello(extensions: &[(u16, &[u8])], record: usize) -> Vec<u8> {
        let mut list = Vec::new();
        for (kind, content) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend((content.len() as u16).to_be_bytes());
            list.extend_from_slice(content);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((list.len() as u16).to_be_bytes());
        body.extend(list);
        let mut message = vec![CLIENT_HELLO, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        let records = message.chunks(record).flat_map(|part| {
            let length = (part.len() as u16).to_be_bytes();
            [&[HANDSHAKE, 3, 1][..], &length, part].concat()
        });
        records.collect()
    }

    fn named(name: &str) -> Vec<u8> {
        let length = name.len() as u16;
        let head = [&(length + 3).to_be_bytes()[..], &[HOST_NAME], &length.to_be_bytes()];
        [&head.concat(), name.as_bytes()].concat()
    }

    #[test]
    fn a_name_is_found_however_the_message_is_cut() {
        let name = named("WWW.Example.com");
        for record in [1, 7, 64, 4096] {
            let bytes = hello(&[(43, &[2, 3, 4]), (0, &name), (16, b"x")], record);
            for end in 1..bytes.len() {
                assert!(matches!(name_in(&bytes[..end]), Ok(None)), "{record} {end}");
            }
            let found = name_in(&bytes).unwrap().expect("whole");
            assert_eq!(found.as_deref(), Some("www.example.com"));
        }
    }

    #[test]
    fn a_client_need_not_name_anybody() {
        assert!(matches!(name_in(&hello(&[(16, b"x")], 4096)), Ok(Some(None))));
        assert!(matches!(name_in(&hello(&[(0, &named(""))], 4096)), Ok(Some(None))));
    }

    #[test]
    fn what_is_no_handshake_is_known_by_its_first_bytes() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x80\x2e\x01\x03", b"\x16\x01", b"\x15\x03\x01"]
        {
            assert!(matches!(name_in(bytes), Err(Failed::NotTls)), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_damaged_is_refused_and_never_more_than_that() {
        let whole = hello(&[(43, &[2, 3, 4]), (0, &named("a.test"))], 4096);
        assert!(matches!(name_in(&[22, 3, 1, 0, 0]), Err(Failed::Damaged)));
        assert!(matches!(name_in(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Err(Failed::Damaged)));
        let long = [22, 3, 1, 0, 4, 1, 1, 0, 0];
        assert!(matches!(name_in(&long), Err(Failed::TooLong)));
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let _whatever = name_in(&bytes);
            }
        }
        let mut not_ascii = hello(&[(0, &named("a.test"))], 4096);
        *not_ascii.last_mut().unwrap() = 0xff;
        assert!(matches!(name_in(&not_ascii), Err(Failed::Damaged)));
    }

    /// What is made of these bytes, in words; nothing while more is waited for.
    fn made_of(bytes: &[u8]) -> Option<String> {
        match name_in(bytes) {
            Ok(None) => None,
            Ok(Some(name)) => Some(format!("{name:?}")),
            Err(failed) => Some(failed.to_string()),
        }
    }

    proptest! {
        /// However it is cut: what is once decided stays so, whatever follows.
        #[test]
        fn what_is_decided_stays_so(
            names in prop::collection::vec(("[a-zA-Z.]{0,9}", 0_u16..3), 0..4),
            record in 1_usize..200,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let names: Vec<_> = names.iter().map(|(name, kind)| (*kind, named(name))).collect();
            let extensions: Vec<_> = names.iter().map(|(kind, name)| (*kind, &name[..])).collect();
            let mut bytes = hello(&extensions, record);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let whole = made_of(&bytes);
            let decided = (0..bytes.len()).find_map(|end| made_of(&bytes[..end]));
            prop_assert!(decided.is_none() || decided == whole, "{decided:?} {whole:?}");
        }
    }
}
