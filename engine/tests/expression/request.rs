//! Requests to hold expressions against.

use engine::router::{Fields, RequestView, Scheme};
use std::net::SocketAddr;

/// A request that owns what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) scheme: Scheme,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) sni: Option<String>,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) headers: Headers,
}

/// Header fields, their names as the router asks for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, Vec<u8>)>);

impl Fields for Headers {
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        let of_name = self.0.iter().filter(move |(known, _)| known.as_bytes() == name);
        of_name.map(|(_, value)| value.as_slice())
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()))
    }
}

impl Default for Request {
    fn default() -> Request {
        Request {
            scheme: Scheme::Http,
            method: "GET".to_owned(),
            host: String::new(),
            port: Some(80),
            path: "/".to_owned(),
            query: String::new(),
            sni: None,
            source: SocketAddr::from(([10, 1, 2, 3], 1000)),
            destination: SocketAddr::from(([10, 9, 9, 9], 8000)),
            headers: Headers::default(),
        }
    }
}

impl Request {
    /// `METHOD host/path?query`, without headers.
    pub(crate) fn parse(text: &str) -> Request {
        let (method, url) = text.split_once(' ').expect("a method and a URL");
        let (target, query) = url.split_once('?').unwrap_or((url, ""));
        let (host, path) = target.split_at(target.find('/').expect("a path"));
        let (method, host, path) = (method.to_owned(), host.to_owned(), path.to_owned());
        Request { method, host, path, query: query.to_owned(), ..Request::default() }
    }

    /// The same with another header field.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.0.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn view(&self) -> RequestView<'_, Headers> {
        RequestView {
            scheme: self.scheme,
            method: self.method.as_bytes(),
            host: self.host.as_bytes(),
            port: self.port,
            path: self.path.as_bytes(),
            query: self.query.as_bytes(),
            sni: self.sni.as_deref().map(str::as_bytes),
            source: self.source,
            destination: self.destination,
            fields: &self.headers,
        }
    }
}
