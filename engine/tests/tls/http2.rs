//! HTTP/2 in front: agreed on in the handshake, or begun without asking.

use super::hello::Hello;
use super::support::{Act, Gateway, Origin, Response, config, one, within};
use super::{secure, shown};
use bytes::Bytes;
use engine::options::{Listen, LogSink, RealIp};
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request};
use model::Config;
use model::testing::{route, service};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Listens for HTTP/2 over TLS, and without.
fn http2(options: &mut engine::Options) {
    secure(options);
    options.listen.push(Listen::plain(([127, 0, 0, 1], 0).into()));
    options.listen.iter_mut().for_each(|listen| listen.http2 = true);
}

async fn gateway(config: Config) -> Gateway {
    Gateway::with(config, 1, http2).await
}

/// A client's connection. It goes on in a task of its own.
struct Http2 {
    requests: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    async fn begin(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http2 {
        // Many small answers at once are what it asked for.
        let mut client = h2::client::Builder::new();
        client.data_frame_budget(1 << 20);
        // As clients do: before the other end's settings are here, not every stream at once.
        client.initial_max_send_streams(100);
        let (requests, connection) = within(client.handshake(io)).await.unwrap();
        Http2 { requests, connection: tokio::spawn(connection) }
    }

    async fn over_tls(addr: SocketAddr) -> Http2 {
        let hello = Hello { alpn: b"\x02h2\x08http/1.1", ..Hello::to("a.test") };
        let client = hello.with(addr).await.unwrap();
        assert_eq!(client.alpn().as_deref(), Some(&b"h2"[..]));
        Http2::begin(client.0.stream).await
    }

    async fn without_tls(gateway: &Gateway) -> Http2 {
        let addr = gateway.handle.addresses()[1];
        Http2::begin(within(TcpStream::connect(addr)).await.unwrap()).await
    }

    async fn get(&mut self, uri: &str) -> Response {
        self.ask(request(Method::GET, uri, &[]), None).await.unwrap()
    }

    /// A request whose body the caller sends.
    async fn begin_post(&mut self, uri: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = within(self.requests.clone().ready()).await.unwrap();
        requests.send_request(request(Method::POST, uri, &[]), false).unwrap()
    }

    /// One request with a body, if there is one.
    async fn ask(
        &mut self,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Response, h2::Error> {
        let mut requests = within(self.requests.clone().ready()).await?;
        let (response, mut stream) = requests.send_request(request, body.is_none())?;
        if let Some(body) = body {
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        read(within(response).await?).await
    }
}

async fn read(response: http::Response<h2::RecvStream>) -> Result<Response, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = within(stream.data()).await {
        let data = data?;
        let _freed = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let fields: Vec<_> = fields.collect();
    let pingora = fields.iter().find(|(_, value)| value.contains("Pingora"));
    assert_eq!(pingora, None);
    let (status, line) = (head.status.as_u16(), String::new());
    Ok(Response { status, line, fields, body })
}

fn request(method: Method, uri: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// Names in lower case, without those that are of one version of HTTP only.
fn names(fields: &[(String, String)]) -> Vec<String> {
    let mut names: Vec<_> = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.retain(|name| name != "connection" && name != "date");
    names.sort();
    names
}

#[tokio::test]
async fn a_request_reaches_its_service_as_over_http1() {
    let origin = Origin::plain().await;
    let config = one(&origin.url("/base"), |r| r.path("/r"));
    let gateway = gateway(config).await;
    let fields = [("x-own", "v"), ("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2")];
    let h1 = "POST /r/x%20y?a=1 HTTP/1.1\r\nHost: A.test:81\r\nX-Own: v\r\nTE: trailers\r\nConnection: TE\r\nCookie: a=1; b=2\r\nContent-Length: 2\r\n\r\nhi";
    let over_http1 = Hello::to("a.test").with(gateway.addr).await.unwrap().ask(h1).await;
    let expected = origin.last();

    let mut tls = Http2::over_tls(gateway.addr).await;
    let mut clear = Http2::without_tls(&gateway).await;
    for (client, scheme) in [(&mut tls, "https"), (&mut clear, "http")] {
        let uri = format!("{scheme}://A.test:81/r/x%20y?a=1");
        let mut post = request(Method::POST, &uri, &fields);
        post.headers_mut().insert("content-length", 2.into());
        let response = client.ask(post, Some(b"hi")).await.unwrap();
        assert_eq!((response.status, response.text()), (200, "hello"));
        assert_eq!(names(&response.fields), names(&over_http1.fields));

        let seen = origin.last();
        assert_eq!((&seen.line, &seen.body), (&expected.line, &expected.body));
        assert_eq!(names(&seen.fields), names(&expected.fields));
        for name in ["Host", "X-Forwarded-Host", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Own"]
        {
            assert_eq!(seen.one(name), expected.one(name), "{name}");
        }
        assert_eq!((seen.one("TE"), seen.one("Cookie")), (Some("trailers"), Some("a=1; b=2")));
        assert_eq!(seen.one("X-Forwarded-Proto"), Some(scheme));
        assert_eq!(seen.one("Via"), Some(format!("2 gateway/{}", model::VERSION).as_str()));
        assert_eq!(seen.one("Connection"), Some("keep-alive"));
    }
}

#[tokio::test]
async fn what_the_gateway_answers_itself_looks_the_same() {
    let gateway = gateway(one("http://127.0.0.1:1/", |r| r.path("/dead"))).await;
    let mut tls = Http2::over_tls(gateway.addr).await;
    let mut plain = Hello::to("a.test").with(gateway.addr).await.unwrap();
    for path in ["/nowhere", "/dead", "/bad%"] {
        let over_http2 = tls.get(&format!("https://a.test{path}")).await;
        let over_http1 = plain.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(over_http2.status, over_http1.status, "{path}");
        assert_eq!(names(&over_http2.fields), names(&over_http1.fields), "{path}");
        let without_id = |r: &Response| r.text().replace(r.id(), "ID");
        assert_eq!(without_id(&over_http2), without_id(&over_http1));
        plain = Hello::to("a.test").with(gateway.addr).await.unwrap();
    }
    let head = request(Method::HEAD, "https://a.test/nowhere", &[]);
    let response = tls.ask(head, None).await.unwrap();
    assert_eq!((response.status, response.text()), (404, ""));
    assert!(response.one("content-length").unwrap().parse::<u32>().unwrap() > 0);
}

#[tokio::test]
async fn what_http1_would_refuse_is_refused() {
    let origin = Origin::plain().await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let mut client = Http2::over_tls(gateway.addr).await;
    let long = "x".repeat(9000);
    let many: Vec<_> = (0..201).map(|_| ("x-a", "b")).collect();
    let whole: Vec<_> = (0..6).map(|_| ("x-a", &long[..7000])).collect();
    for (request, status, says) in [
        (request(Method::TRACE, "https://a.test/", &[]), 405, "Method not allowed"),
        (request(Method::GET, "https://a.test/%zz", &[]), 400, "Bad request"),
        (request(Method::GET, &format!("https://a.test/{long}"), &[]), 414, "URI too long"),
        (
            request(Method::GET, "https://a.test/", &[("x-a", &long)]),
            400,
            "Request header or cookie too large",
        ),
        (request(Method::GET, "https://a.test/", &many), 400, "Request header or cookie too large"),
        (
            request(Method::GET, "https://a.test/", &whole),
            400,
            "Request header or cookie too large",
        ),
        (request(Method::GET, "https://a~,b/", &[]), 400, "Bad request"),
    ] {
        let response = client.ask(request, None).await.unwrap();
        assert_eq!(response.status, status, "{says}");
        assert!(
            response.text().starts_with(&format!("{says}\nrequest_id: ")),
            "{}",
            response.text()
        );
    }
    // Whom it is for must be one.
    let mut two = request(Method::GET, "https://a.test/", &[("host", "b.test")]);
    two.headers_mut().append("host", "b.test".parse().unwrap());
    let refused = client.ask(two, None).await;
    assert!(refused.is_err() || refused.is_ok_and(|r| r.status == 400));
    // Fields of HTTP/1's connections end the request (RFC 9113 §8.2.2).
    for (name, value) in [("connection", "close"), ("transfer-encoding", "chunked"), ("te", "gzip")]
    {
        let asked =
            client.ask(request(Method::GET, "https://a.test/", &[(name, value)]), None).await;
        assert!(asked.is_err(), "{name}");
        client = Http2::over_tls(gateway.addr).await;
    }
    assert!(origin.seen().is_empty());
    assert_eq!(client.get("https://a.test/").await.status, 200);
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways() {
    for (buffered, encoding, length) in
        [(true, None, Some("2097152")), (false, Some("chunked"), None)]
    {
        let origin = Origin::start(|rq| Act::ok(&"b".repeat(rq.body.len()))).await;
        let route = one(&origin.url("/"), |r| r.path("/").with("request_buffering", buffered));
        let gateway = gateway(route).await;
        let mut client = Http2::over_tls(gateway.addr).await;
        let (response, mut stream) = client.begin_post("https://a.test/").await;
        for _ in 0..64 {
            stream.reserve_capacity(32 * 1024);
            stream.send_data(Bytes::from(vec![b'x'; 32 * 1024]), false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let response = read(within(response).await.unwrap()).await.unwrap();
        assert_eq!(response.body.len(), 64 * 32 * 1024);
        // Its length is known to who has waited for it.
        assert_eq!(origin.last().one("Transfer-Encoding"), encoding);
        assert_eq!(origin.last().one("Content-Length"), length);
        // An empty frame ended it: nothing of that may be left on the upstream's connection.
        assert_eq!(client.get("https://a.test/").await.status, 200);
        let lines: Vec<_> =
            origin.seen().iter().map(|seen| (seen.line.clone(), seen.connection)).collect();
        assert_eq!(lines, [("POST / HTTP/1.1".to_owned(), 0), ("GET / HTTP/1.1".to_owned(), 0)]);
    }
}

#[tokio::test]
async fn a_service_is_not_bothered_before_a_body_has_ended() {
    let origin = Origin::plain().await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let mut client = Http2::over_tls(gateway.addr).await;
    for rest in [0, 10, 300_000] {
        let (response, mut stream) = client.begin_post("https://a.test/post").await;
        stream.send_data(Bytes::from_static(b"begun"), false).unwrap();
        let before = origin.seen().len();
        assert_eq!(client.get("https://a.test/").await.status, 200);
        assert_eq!(origin.seen().len(), before + 1);
        stream.send_data(Bytes::from(vec![b'x'; rest]), true).unwrap();
        let response = read(within(response).await.unwrap()).await.unwrap();
        assert_eq!((response.status, response.text()), (200, "hello"));
        let last = origin.last();
        assert_eq!(last.one("Content-Length"), Some(&*(rest + 5).to_string()));
        assert_eq!((last.body.len(), last.connection), (rest + 5, 0));
    }
}

#[tokio::test]
async fn a_body_that_stays_away_is_answered_and_bothers_nobody() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url("/"), |r| r.path("/")), 1, |options| {
        http2(options);
        options.door.body_timeout = Duration::from_millis(50);
    })
    .await;
    let mut client = Http2::over_tls(gateway.addr).await;
    let (response, mut stream) = client.begin_post("https://a.test/").await;
    stream.send_data(Bytes::from_static(b"begun"), false).unwrap();
    assert_eq!(read(within(response).await.unwrap()).await.unwrap().status, 408);
    assert_eq!(client.get("https://a.test/").await.status, 200, "others go on");
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn an_unbuffered_body_that_stays_away_is_logged_as_what_it_is() {
    let origin = Origin::start(|_| Act::Hang).await;
    let service = service("s").url(&origin.url("/")).with("write_timeout", 1).build();
    let route = route("r").to(&service).path("/").with("request_buffering", false).build();
    let (lines, mut logged) = tokio::sync::mpsc::unbounded_channel();
    let gateway = Gateway::with(config([service], [route]), 1, |options| {
        http2(options);
        options.door.body_timeout = Duration::from_millis(50);
        let take = move |line| lines.send(line).unwrap_or_default();
        options.access_log = Some(LogSink::new(take));
    })
    .await;
    let mut client = Http2::over_tls(gateway.addr).await;
    let (response, mut stream) = client.begin_post("https://a.test/").await;
    stream.send_data(Bytes::from_static(b"begun"), false).unwrap();
    assert!(within(response).await.is_err());
    let line: String = within(logged.recv()).await.unwrap();
    assert!(line.contains("\"POST / HTTP/2.0\" 408 0"), "{line}");
}

#[tokio::test]
async fn what_fails_behind_a_body_is_told_without_one_where_there_may_be_none() {
    let gateway = gateway(one("http://127.0.0.1:1/", |r| r.path("/"))).await;
    let mut client = Http2::over_tls(gateway.addr).await;
    for (method, is_empty) in [(Method::HEAD, true), (Method::PUT, false)] {
        let asked = request(method, "https://a.test/", &[]);
        let response = client.ask(asked, Some(b"hi")).await.unwrap();
        assert_eq!((response.status, response.body.is_empty()), (502, is_empty));
    }
}

#[tokio::test]
async fn a_body_that_is_here_is_sent_again_to_who_hung_up() {
    let origin = Origin::start(|received| match received.connection {
        0 => Act::SayAndClose(Vec::new()),
        _ => Act::ok("at last"),
    })
    .await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let mut client = Http2::over_tls(gateway.addr).await;
    let body = vec![b'x'; 60_000];
    let put = request(Method::PUT, "https://a.test/", &[]);
    assert_eq!(client.ask(put, Some(&body)).await.unwrap().text(), "at last");
    let bodies: Vec<_> = origin.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies == [body.clone(), body]);
}

#[tokio::test]
async fn a_body_may_be_too_large() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url("/"), |r| r.path("/")), 1, |options| {
        http2(options);
        options.max_body = Some(10);
    })
    .await;
    let mut client = Http2::over_tls(gateway.addr).await;
    let mut said = request(Method::POST, "https://a.test/", &[]);
    said.headers_mut().insert("content-length", 11.into());
    assert_eq!(client.ask(said, Some(&[b'x'; 11])).await.unwrap().status, 413);
    let unsaid = request(Method::POST, "https://a.test/", &[]);
    assert_eq!(client.ask(unsaid, Some(&[b'x'; 11])).await.unwrap().status, 413);
    assert_eq!(client.get("https://a.test/").await.status, 200, "others go on");
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn many_requests_at_a_time_are_all_answered() {
    let origin = Origin::start(|rq| Act::ok(rq.line.split(' ').nth(1).unwrap())).await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/").with("strip_path", false))).await;
    let client = Http2::over_tls(gateway.addr).await;
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..300 {
        let requests = client.requests.clone();
        asked.spawn(async move {
            let request = request(Method::GET, &format!("https://a.test/{number}"), &[]);
            let mut requests = within(requests.ready()).await.unwrap();
            let (response, _) = requests.send_request(request, true).unwrap();
            let response = read(within(response).await.unwrap()).await.unwrap();
            assert_eq!(response.text(), format!("/{number}"));
        });
    }
    while let Some(done) = asked.join_next().await {
        done.unwrap();
    }
    assert_eq!(gateway.handle.stats().requests(), 300);
}

#[tokio::test]
async fn requests_are_logged_however_they_end() {
    let origin = Origin::start(|rq| match rq.line.contains("hang") {
        true => Act::Hang,
        false => Act::ok("hello"),
    })
    .await;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let config = one(&origin.url("/"), |r| r.path("/r").with("strip_path", false));
    let gateway = Gateway::with(config, 1, |options| {
        http2(options);
        options.access_log = Some(LogSink::new(move |line| sink.lock().unwrap().push(line)));
    })
    .await;
    let mut client = Http2::over_tls(gateway.addr).await;
    for path in ["/r/1", "/nowhere", "/%zz"] {
        client.get(&format!("https://a.test{path}")).await;
    }
    let hanging = {
        let mut requests = client.requests.clone().ready().await.unwrap();
        requests.send_request(request(Method::GET, "https://a.test/r/hang", &[]), true).unwrap()
    };
    within(async {
        while origin.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(hanging);
    drop(client);
    let logged = || lines.lock().unwrap().clone();
    within(async {
        while logged().len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (line, says) in logged().iter().zip([
        "\"GET /r/1 HTTP/2.0\" 200 5",
        "\"GET /nowhere HTTP/2.0\" 404 ",
        "\"GET /%zz HTTP/2.0\" 400 ",
        "\"GET /r/hang HTTP/2.0\" 499 0",
    ]) {
        assert!(line.contains(says), "{line}");
    }
}

#[tokio::test]
async fn a_connection_ends_after_its_last_request() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        http2(options);
        options.door.requests = 3;
    })
    .await;
    let mut client = Http2::over_tls(gateway.addr).await;
    for _ in 0..3 {
        assert_eq!(client.get("https://a.test/").await.status, 404);
    }
    let ended = within(client.connection).await.unwrap();
    assert!(ended.is_ok(), "properly, with nothing cut off: {ended:?}");
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        http2(options);
        options.door.idle_timeout = Duration::from_millis(200);
    })
    .await;
    let mut client = Http2::without_tls(&gateway).await;
    assert_eq!(client.get("http://a.test/").await.status, 404);
    let ended = within(client.connection).await.unwrap();
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn draining_lets_requests_under_way_finish() {
    let (let_go, may) = tokio::sync::watch::channel(false);
    let held = super::support::held(may).await;
    let url = format!("http://{}/", held.addr);
    let gateway = gateway(one(&url, |r| r.path("/"))).await;
    let client = Http2::over_tls(gateway.addr).await;
    let (response, _) = {
        let mut requests = client.requests.clone().ready().await.unwrap();
        requests.send_request(request(Method::GET, "https://a.test/", &[]), true).unwrap()
    };
    within(held.asked.notified()).await;
    let leaving = tokio::spawn(gateway.handle.shutdown(Duration::from_secs(10)));
    let_go.send_replace(true);
    let response = read(within(response).await.unwrap()).await.unwrap();
    assert_eq!((response.status, response.text()), (200, "held"));
    drop(client.requests);
    within(leaving).await.unwrap();
    client.connection.abort();
}

#[tokio::test]
async fn http2_is_spoken_only_where_the_listener_says_so() {
    let gateway = Gateway::with(shown(Config::default(), &[]), 1, |options| {
        secure(options);
        options.listen.push(Listen::plain(([127, 0, 0, 1], 0).into()));
    })
    .await;
    let hello = Hello { alpn: b"\x02h2\x08http/1.1", ..Hello::to("a.test") };
    let mut client = hello.with(gateway.addr).await.unwrap();
    assert_eq!(client.alpn().as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 404);
    let mut stream = TcpStream::connect(gateway.handle.addresses()[1]).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 505");
}

#[tokio::test]
async fn a_client_that_takes_back_what_it_asks_is_sent_away() {
    let origin = Origin::start(|_| Act::Hang).await;
    let gateway = gateway(one(&origin.url("/"), |r| r.path("/"))).await;
    let client = Http2::over_tls(gateway.addr).await;
    let asked = async {
        for _ in 0..10_000 {
            let Ok(mut requests) = client.requests.clone().ready().await else { return };
            let asked = requests.send_request(request(Method::GET, "https://a.test/", &[]), true);
            let Ok((_response, mut stream)) = asked else { return };
            stream.send_reset(h2::Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    };
    within(asked).await;
    let ended = within(client.connection).await.unwrap().unwrap_err();
    // Told why, unless it was still writing when the connection was closed.
    assert!(ended.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) || ended.is_io(), "{ended}");
    assert!(gateway.handle.stats().requests() < 1000, "{:?}", gateway.handle.stats());
}

/// A frame, as it stands on the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;

#[tokio::test]
async fn who_says_nothing_after_the_preface_is_let_go() {
    let gateway = Gateway::with(Config::default(), 1, |options| {
        http2(options);
        options.door.head_timeout = Duration::from_millis(200);
        options.door.idle_timeout = Duration::from_millis(200);
    })
    .await;
    for said in [PREFACE.to_vec(), [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()] {
        let mut stream = TcpStream::connect(gateway.handle.addresses()[1]).await.unwrap();
        stream.write_all(&said).await.unwrap();
        let mut rest = Vec::new();
        let _reset_or_end = within(stream.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn a_proxy_header_comes_before_the_handshake_and_before_the_preface() {
    let origin = Origin::plain().await;
    let gateway = Gateway::with(one(&origin.url(""), |r| r.path("/r")), 1, |options| {
        http2(options);
        options.listen.iter_mut().for_each(|listen| listen.proxy_protocol = true);
        options.forwarding.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        options.forwarding.real_ip = RealIp::ProxyProtocol;
    })
    .await;
    for addr in gateway.handle.addresses() {
        let mut io = within(TcpStream::connect(addr)).await.unwrap();
        io.write_all(b"PROXY TCP4 9.8.7.6 10.0.0.1 77 80\r\n").await.unwrap();
        let mut client = if *addr == gateway.addr {
            let hello = Hello { alpn: b"\x02h2", ..Hello::to("a.test") };
            Http2::begin(hello.over(io).await.unwrap().0.stream).await
        } else {
            Http2::begin(io).await
        };
        assert_eq!(client.get(&format!("http://{addr}/r")).await.status, 200);
        assert_eq!(origin.last().one("X-Forwarded-For"), Some("9.8.7.6"));
    }
}
