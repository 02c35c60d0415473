//! An upstream that speaks HTTP/2 and answers as the test says.

use super::support::within;
use boring::ssl::{AlpnError, SslAcceptor, select_next_proto};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A call that has come.
pub(crate) struct Call {
    pub(crate) head: Parts,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    /// The how many-th connection it came on, from 0.
    pub(crate) connection: usize,
    /// Cuts the connection.
    pub(crate) cut: Arc<watch::Sender<bool>>,
}

pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<(Parts, usize)>>>,
}

impl Origin {
    pub(crate) async fn start<F>(answer: impl Fn(Call) -> F + Send + Sync + 'static) -> Origin
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Origin::listening(None, answer).await
    }

    /// One that speaks TLS.
    pub(crate) async fn secure<F>(answer: impl Fn(Call) -> F + Send + Sync + 'static) -> Origin
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut acceptor = super::support::acceptor();
        acceptor.set_alpn_select_callback(|_, client| {
            select_next_proto(b"\x02h2", client).ok_or(AlpnError::NOACK)
        });
        Origin::listening(Some(acceptor.build()), answer).await
    }

    async fn listening<F>(
        tls: Option<SslAcceptor>,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Origin
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, seen) = (listener.local_addr().unwrap(), Arc::default());
        let origin = Origin { addr, seen: Arc::clone(&seen) };
        let (answer, tls) = (Arc::new(answer), tls.map(Arc::new));
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (answer, tls, seen) = (answer.clone(), tls.clone(), seen.clone());
                tokio::spawn(async move {
                    let answer = &*answer;
                    match tls {
                        None => serve(stream, connection, answer, &seen).await,
                        Some(tls) => {
                            let Ok(stream) = tokio_boring::accept(&tls, stream).await else {
                                return;
                            };
                            assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
                            serve(stream, connection, answer, &seen).await;
                        }
                    }
                });
            }
        });
        origin
    }

    /// One that says back what it was sent, and `grpc-status: 0`.
    pub(crate) async fn echo() -> Origin {
        Origin::start(echo).await
    }

    /// Heads of all calls, and on which connection each came.
    pub(crate) fn seen(&self) -> Vec<(Parts, usize)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve<F: Future<Output = ()> + Send + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    number: usize,
    answer: &impl Fn(Call) -> F,
    seen: &Mutex<Vec<(Parts, usize)>>,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let cut = Arc::new(watch::Sender::new(false));
    let mut is_cut = cut.subscribe();
    loop {
        let next = tokio::select! {
            next = connection.accept() => next,
            _ = is_cut.wait_for(|cut| *cut) => return,
        };
        let Some(Ok((request, respond))) = next else { return };
        let (head, body) = request.into_parts();
        seen.lock().unwrap().push((head.clone(), number));
        tokio::spawn(answer(Call { head, body, respond, connection: number, cut: cut.clone() }));
    }
}

/// Message by message, as they come.
pub(crate) async fn echo(mut call: Call) {
    let mut body = call.respond.send_response(call.head(), false).unwrap();
    while let Some(data) = call.next().await {
        body.send_data(data, false).unwrap();
    }
    body.send_trailers(fields(&[("grpc-status", "0"), ("x-own", "yes"), ("content-length", "7")]))
        .unwrap();
}

impl Call {
    /// Of a response.
    pub(crate) fn head(&self) -> Response<()> {
        Response::builder().header("content-type", "application/grpc").body(()).unwrap()
    }

    /// What comes next of the body.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let data = within(self.body.data()).await?.ok()?;
        self.body.flow_control().release_capacity(data.len()).unwrap();
        Some(data)
    }
}

pub(crate) fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter();
    fields.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}
