//! What is read of upstreams, however it is cut.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;

fn heads(text: &str, step: usize) -> Result<Vec<ResponseHead>, Garbage> {
    let (mut reader, mut rd, mut found) = (HeadReader::default(), BytesMut::new(), Vec::new());
    for piece in text.as_bytes().chunks(step) {
        rd.extend_from_slice(piece);
        while let Some(head) = reader.take(&mut rd)? {
            found.push(*head);
            if rd.is_empty() {
                break;
            }
        }
    }
    assert!(rd.is_empty(), "{:?} is left", rd);
    Ok(found)
}

/// Status, reason and fields of a head.
type Read<'a> = (u16, &'a str, &'a [(&'a str, &'a str)]);

#[track_caller]
fn reads(text: &str, expected: &[Read<'_>]) {
    for step in [1, 2, 7, text.len()] {
        let found = heads(text, step).unwrap();
        assert_eq!(found.len(), expected.len(), "{step} at a time");
        for (head, (status, reason, fields)) in found.iter().zip(expected) {
            assert_eq!((head.status(), head.reason()), (*status, reason.as_bytes()));
            let read: Vec<_> = head.iter().map(|(name, value)| (name.as_bytes(), value)).collect();
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            assert_eq!(read, fields, "{step} at a time");
        }
    }
}

#[test]
fn heads_are_found_however_they_are_cut() {
    reads(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: 1\r\nb:2 \r\na: 3\r\n\r\n",
        &[(100, "Continue", &[]), (200, "OK", &[("A", "1"), ("b", "2"), ("a", "3")])],
    );
    reads("HTTP/1.0 404\r\n\r\n", &[(404, "", &[])]);
    reads("\r\n\n\r\nHTTP/1.1 200 OK\r\n\r\n", &[(200, "OK", &[])]);
    reads("HTTP/1.1 200 OK\nA: 1\n\n", &[(200, "OK", &[("A", "1")])]);
    reads(
        "HTTP/1.1 200 OK\r\nFolded: a \r\n\t b\n \n c\r\nSpaced : c\r\n\r\n",
        &[(200, "OK", &[("Folded", "a b c"), ("Spaced", "c")])],
    );
}

#[test]
fn what_is_no_head_is_refused() {
    for text in ["HTTP/2.0 200 OK\r\n\r\n", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\na b: 1\r\n\r\n"]
    {
        assert!(matches!(heads(text, text.len()), Err(Garbage::Malformed(_))), "{text}");
    }
    assert_eq!(heads("HTTP/1.1 099 x\r\n\r\n", 99).unwrap_err(), Garbage::Status(99));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(FIELDS + 1));
    let too_many = Garbage::Malformed(httparse::Error::TooManyHeaders);
    assert_eq!(heads(&many, many.len()).unwrap_err(), too_many);
    let empty = "\r\n".repeat(HEAD / 2 + 1);
    assert_eq!(heads(&empty, 64 * 1024).unwrap_err(), Garbage::TooLarge);
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(HEAD));
    assert_eq!(heads(&long, 64 * 1024).unwrap_err(), Garbage::TooLarge);
}

/// Pieces of heads, of which few make sense together.
fn almost_heads() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200\n",
        b"HTTP/1.1 103 Hints\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Content-Length: 3\r\n",
        b"A: b\r\n",
        b"A : b \n",
        b"Folded: a\r\n b\r\n\tc\r\n",
        b"A:\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"x",
        b"\0",
        b"\xff",
    ];
    prop::collection::vec(prop::sample::select(WORDS), 0..12).prop_map(|words| words.concat())
}

fn cut<'i>(input: &'i [u8], cuts: &[Index]) -> Vec<&'i [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    ends.extend([0, input.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| &input[ends[0]..ends[1]]).collect()
}

/// What is found up to the first final head: all heads, and what is left behind them.
type Found = (Vec<String>, Option<Vec<u8>>);

/// The error, if there is one, is of what comes last.
fn found(pieces: &[&[u8]]) -> (Found, Option<Garbage>) {
    let (mut reader, mut rd, mut heads) = (HeadReader::default(), BytesMut::new(), Vec::new());
    let mut is_final = false;
    for piece in pieces {
        rd.extend_from_slice(piece);
        while !is_final {
            match reader.take(&mut rd) {
                Ok(Some(head)) => {
                    is_final = head.status() >= 200;
                    heads.push(format!("{} {:?}", head.status(), shown(&head)));
                }
                Ok(None) => break,
                Err(garbage) => return ((heads, None), Some(garbage)),
            }
        }
    }
    ((heads, is_final.then(|| rd.to_vec())), None)
}

fn shown(head: &ResponseHead) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.iter().map(|(name, value)| text(name.as_bytes()) + "=" + &text(value)).collect()
}

/// An answer's body in chunks, with extensions and trailers.
fn in_chunks(data: &[Vec<u8>], is_long: bool) -> Vec<u8> {
    let extra = if is_long { ";a=b" } else { "" };
    let mut all = Vec::new();
    for piece in data.iter().filter(|piece| !piece.is_empty()) {
        all.extend(format!("{:x}{extra}\r\n", piece.len()).bytes());
        all.extend_from_slice(piece);
        all.extend_from_slice(b"\r\n");
    }
    all.extend_from_slice(if is_long { b"0\r\nA: b\r\n\r\n" } else { b"0\r\n\r\n" });
    all
}

/// What a client gets that takes so much at a time, and what is left of the pieces.
fn passed(mut download: Download, pieces: &[&[u8]], takes: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut rd, mut client) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        rd.extend_from_slice(piece);
        loop {
            download.look_at(&mut rd).unwrap();
            let pending = download.pending(&rd);
            if pending.is_empty() {
                break;
            }
            let taken = pending.get(..takes).unwrap_or(pending).to_vec();
            client.extend_from_slice(&taken);
            download.took(taken.len(), &mut rd);
        }
    }
    assert!(download.is_read(), "more is waited for");
    (client, rd.to_vec())
}

proptest! {
    #[test]
    fn cutting_heads_changes_nothing(
        input in almost_heads(),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let (whole, error) = found(&[&input]);
        for pieces in [cut(&input, &cuts), input.chunks(1).collect()] {
            let (cut, seen) = found(&pieces);
            prop_assert_eq!(&cut, &whole);
            // What is wrong with a head may be seen when it ends.
            prop_assert!(seen == error || seen.is_none());
        }
    }

    #[test]
    fn a_body_passes_whole_and_nothing_behind_it(
        data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
        is_long: bool,
        is_chunked: bool,
        to_chunks: bool,
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        takes in 1_usize..40,
    ) {
        let plain = data.concat();
        let (end, body) = match is_chunked {
            true => (Body::Chunked(Chunks::default()), in_chunks(&data, is_long)),
            false => (Body::Length(plain.len() as u64), plain.clone()),
        };
        let input = [&body[..], b"HTTP/1.1 200 OK"].concat();
        let download = Download::new(End::Framed(end), is_chunked && to_chunks);
        let (client, left) = passed(download, &cut(&input, &cuts), takes);
        prop_assert_eq!(left, b"HTTP/1.1 200 OK");
        let mut read = Vec::new();
        if is_chunked && to_chunks {
            let mut chunks = Body::Chunked(Chunks::default());
            let ours = chunks.decode(&client, |data| read.extend_from_slice(data));
            prop_assert!(ours == Ok(client.len()) && chunks.is_done());
        } else {
            read = client;
        }
        prop_assert_eq!(read, plain);
    }
}
