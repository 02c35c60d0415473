use super::*;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn v2(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    [SIGNATURE.as_slice(), &[command, family], &length.to_be_bytes(), rest].concat()
}

fn v4(rest: &[u8]) -> Vec<u8> {
    [&[1, 2, 3, 4, 5, 6, 7, 8, 0x12, 0x34, 0x56, 0x78], rest].concat()
}

fn relayed(source: &str, destination: &str) -> Relayed {
    Relayed { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// What comes of it fed whole and in pieces, which must be the same.
#[track_caller]
fn decode(bytes: &[u8]) -> Result<Option<(usize, Option<Relayed>)>, Malformed> {
    let in_pieces = |step: usize| {
        let mut decoder = Decoder::default();
        let mut before = 0;
        for piece in bytes.chunks(step) {
            match decoder.feed(piece)? {
                Progress::More => before += piece.len(),
                Progress::Complete { used, relayed } => return Ok(Some((before + used, relayed))),
            }
        }
        Ok(None)
    };
    let whole = in_pieces(bytes.len().max(1));
    for step in [1, 2, 7, 16] {
        assert_eq!(in_pieces(step), whole, "{step} at a time");
    }
    whole
}

#[track_caller]
fn says(header: &[u8], expected: Option<Relayed>) {
    let followed = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(decode(&followed), Ok(Some((header.len(), expected))));
}

#[test]
fn version_1_names_addresses_or_nothing() {
    let v4 = relayed("1.2.3.4:5678", "5.6.7.8:80");
    says(b"PROXY TCP4 1.2.3.4 5.6.7.8 5678 80\r\n", Some(v4));
    let v6 = relayed("[2001:db8::1]:0", "[::ffff:1.2.3.4]:65535");
    says(b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535\r\n", Some(v6));
    says(b"PROXY UNKNOWN\r\n", None);
    says(b"PROXY UNKNOWN ffff:f...f:ffff what ever\r\n", None);
}

#[test]
fn version_2_names_addresses_or_nothing() {
    let expected = relayed("1.2.3.4:4660", "5.6.7.8:22136");
    says(&v2(0x21, 0x11, 12, &v4(b"")), Some(expected));
    says(&v2(0x21, 0x11, 12 + 300, &v4(&[7; 300])), Some(expected));
    says(&v2(0x21, 0x11, u16::MAX, &v4(&[7; 65_535 - 12])), Some(expected));
    let mut six = [0; 36];
    (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
    says(&v2(0x21, 0x21, 36, &six), Some(relayed("[::1]:3", "[::2]:4")));
    for (command, family, length) in [
        (0x20, 0x00, 0),   // LOCAL
        (0x20, 0x11, 12),  // LOCAL, whatever it says
        (0x20, 0x11, 3),   // and however short
        (0x21, 0x00, 0),   // not specified
        (0x21, 0x31, 216), // UNIX
        (0x21, 0x12, 12),  // datagrams
    ] {
        says(&v2(command, family, length, &vec![9; usize::from(length)]), None);
    }
}

#[test]
fn what_is_no_header_fails_at_its_first_wrong_byte() {
    for (bytes, error) in [
        (b"GET / HTTP/1.1\r\n".as_slice(), Malformed::Missing),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Malformed::Missing),
        (b"\x16\x03\x01\x02\x00\x01", Malformed::Missing),
        (b"PROXYTCP4", Malformed::Missing),
        (b"\r\n\r\n\0\r\nQUIX", Malformed::Missing),
        (b"PROXY \r\n", Malformed::Line),
        (b"PROXY UNKNOWN\n", Malformed::Line),
        (b"PROXY UNKNOWNS\r\n", Malformed::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", Malformed::Line),
        (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", Malformed::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", Malformed::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", Malformed::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", Malformed::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", Malformed::Line),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", Malformed::Line),
        (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", Malformed::Line),
        (b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", Malformed::Line),
        (b"PROXY TCP4 1.2.3.4 5.6.7.\xff 1 2\r\n", Malformed::Line),
    ] {
        assert_eq!(decode(bytes), Err(error), "{}", bytes.escape_ascii());
    }
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(decode(&long), Err(Malformed::LineTooLong));
    let longest = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; LINE - 16], b"\r\n"].concat();
    assert_eq!(decode(&longest), Ok(Some((LINE, None))));
    for (command, family, length, error) in [
        (0x21, 0x11, 11, Malformed::TooShort),
        (0x21, 0x21, 35, Malformed::TooShort),
        (0x22, 0x11, 12, Malformed::Command),
        (0x11, 0x11, 12, Malformed::Command),
    ] {
        assert_eq!(decode(&v2(command, family, length, &[0; 64])), Err(error));
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_pieces_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _any = decode(&bytes);
    }

    #[test]
    fn a_header_whose_length_lies_is_read_by_it_or_refused(
        command in 0x1f_u8..0x23,
        family in prop::sample::select(vec![0x00_u8, 0x11, 0x12, 0x21, 0x22, 0x31, 0xff]),
        length in any::<u16>(),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let header = v2(command, family, length, &rest);
        match decode(&header) {
            Ok(Some((used, _))) => prop_assert_eq!(used, FIXED + usize::from(length)),
            Ok(None) => prop_assert!(rest.len() < usize::from(length)),
            Err(Malformed::TooShort) => prop_assert!(length < 36),
            Err(error) => prop_assert_eq!(error, Malformed::Command),
        }
    }

    #[test]
    fn both_versions_say_what_was_put_in(
        source in any::<std::net::SocketAddrV6>(),
        destination in any::<std::net::SocketAddrV6>(),
        tail in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let bare = |addr: std::net::SocketAddrV6| SocketAddr::new((*addr.ip()).into(), addr.port());
        let (source, destination) = (bare(source), bare(destination));
        let expected = Relayed { source, destination };
        let line = format!(
            "PROXY TCP6 {} {} {} {}\r\n",
            source.ip(), destination.ip(), source.port(), destination.port()
        );
        prop_assert_eq!(decode(line.as_bytes()), Ok(Some((line.len(), Some(expected)))));
        let octets = |addr: SocketAddr| match addr.ip() {
            IpAddr::V6(ip) => ip.octets(),
            IpAddr::V4(_) => [0; 16],
        };
        let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
        let rest = [octets(source).as_slice(), &octets(destination), &ports, &tail].concat();
        let header = v2(0x21, 0x21, rest.len() as u16, &rest);
        prop_assert_eq!(decode(&header), Ok(Some((header.len(), Some(expected)))));
    }

    #[test]
    fn a_damaged_header_is_refused_or_read_to_an_end(
        at in 0_usize..28, bit in 0_u8..8,
    ) {
        let mut header = v2(0x21, 0x11, 12, &v4(b""));
        header[at] ^= 1 << bit;
        let _any = decode(&header);
    }
}

#[tokio::test]
async fn not_a_byte_beyond_the_header_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for header in
        [b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(), v2(0x21, 0x11, 1012, &v4(&[9; 1000]))]
    {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        client.write_all(&[&header, b"rest".as_slice()].concat()).await.unwrap();
        client.shutdown().await.unwrap();
        let relayed = receive(&stream).await.unwrap().unwrap();
        assert_eq!(relayed.source.ip(), IpAddr::from([1, 2, 3, 4]));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rest");
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_it_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    client.write_all(b"PROXY TC").await.unwrap();
    drop(client);
    assert!(matches!(receive(&stream).await, Err(Failed::Gone)));

    drop(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
    let (stream, _) = listener.accept().await.unwrap();
    assert!(matches!(receive(&stream).await, Err(Failed::Silent)));
}
