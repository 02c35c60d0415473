//! A request put together from a question, for the router to look at.

use crate::router::{Fields, RequestView, Scheme, split_host};
use model::explain::Question;
use model::value::{Protocol, path::normal_form};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A request put together from a question.
pub(super) struct Sent<'q> {
    pub(super) question: &'q Question,
    pub(super) is_tls: bool,
    /// Names in lower case with `_` for `-`, and values.
    fields: Vec<(String, &'q str)>,
    /// In normal form.
    path: Cow<'q, [u8]>,
    /// Without the `?`.
    query: &'q [u8],
    /// Where it arrives.
    port: u16,
}

impl<'q> Sent<'q> {
    pub(super) fn of(question: &'q Question) -> Sent<'q> {
        let is_tls = question.scheme == Protocol::Https;
        let target = question.path.as_bytes();
        let (path, query) = match question.path.split_once('?') {
            Some((path, query)) => (path.as_bytes(), query.as_bytes()),
            None => (target, &b""[..]),
        };
        let folded = |name: &str| name.to_ascii_lowercase().replace('-', "_");
        let all = question.headers.iter().flatten();
        let mut fields: Vec<_> = all
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
            .map(|(name, value)| (folded(name.as_str()), value.as_str()))
            .collect();
        if let Some(host) = &question.host {
            fields.retain(|(name, _)| name != "host");
            fields.push(("host".to_owned(), host));
        }
        let port = question.port.unwrap_or(if is_tls { 443 } else { 80 });
        Sent { question, is_tls, fields, path: normal_form(path), query, port }
    }

    /// The `Host`; empty if there is none.
    pub(super) fn host(&self) -> &'q str {
        let host = self.fields.iter().find(|(name, _)| name == "host");
        host.map_or("", |(_, value)| value)
    }

    /// Whether its body is of gRPC, by its own word.
    pub(super) fn names_grpc(&self) -> bool {
        let mut media = self.values(b"content_type");
        media.next().is_some_and(|media| media.starts_with(b"application/grpc"))
    }

    /// What clients say in handshakes: the host they are going to ask for, if it is a name.
    fn sni(&self) -> Option<&'q str> {
        match &self.question.sni {
            Some(sni) => Some(sni.as_str()).filter(|sni| !sni.is_empty()),
            None if self.is_tls => {
                let (host, _) = split_host(self.host().as_bytes(), self.port);
                let host = std::str::from_utf8(host).ok()?;
                let is_name =
                    !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
                is_name.then_some(host)
            }
            None => None,
        }
    }

    pub(super) fn view(&self) -> RequestView<'_, Self> {
        let (host, port) = split_host(self.host().as_bytes(), self.port);
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        RequestView {
            scheme: if self.is_tls { Scheme::Https } else { Scheme::Http },
            method: self.question.method.as_str().as_bytes(),
            host,
            port,
            path: &self.path,
            query: self.query,
            sni: self.sni().map(str::as_bytes),
            source: self.question.source.as_ref().map_or(local, |source| source.socket()),
            destination: SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)),
            fields: self,
        }
    }
}

impl Fields for Sent<'_> {
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        let fields = self.fields.iter().filter(move |field| field.0.as_bytes() == name);
        fields.map(|field| field.1.as_bytes())
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}
