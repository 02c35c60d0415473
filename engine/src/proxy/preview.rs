//! What would become of a request that a route serves: told to an operator, not done.
//!
//! The rules are those of [`super::hygiene`], [`super::access`] and [`super::request`], on
//! what is known of a request that nobody has sent.

use super::forwarded::host_name;
use super::hygiene::inspect_parts;
use super::reply::Reply;
use super::{Text, path};
use crate::snapshot::{CompiledRoute, CompiledService, GrpcOver};
use model::explain::{Answered, Upstream};
use model::value::HttpVersion;
use model::value::path::normal_form;

/// A request, as far as its way upstream depends on it.
pub(crate) struct Preview<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) is_tls: bool,
    /// The `Host` as sent; empty if there is none.
    pub(crate) host: &'a [u8],
    /// The target as sent.
    pub(crate) target: &'a [u8],
    /// Whether its body is of gRPC, by its own word.
    pub(crate) names_grpc: bool,
    /// The version of HTTP it comes by; one that serves it if none is said.
    pub(crate) version: Option<HttpVersion>,
    /// How many bytes of the normal path the route matched.
    pub(crate) prefix_len: usize,
}

impl Preview<'_> {
    /// How many bytes the route takes off the path.
    pub(crate) fn stripped(&self, route: &CompiledRoute) -> Option<usize> {
        Some(self.prefix_len).filter(|length| route.strip_path && *length > 0)
    }

    /// What the client is answered before a route is looked for, if the request cannot be
    /// served by any.
    pub(crate) fn refused(&self) -> Option<Answered> {
        let refusal = inspect_parts(self.method, self.target, self.host).err()?;
        let (status, message) = (refusal.status(), refusal.to_string());
        Some(Answered { status, message, location: None })
    }

    /// What the client is answered before any plugin sees the request.
    pub(crate) fn answered_early(&self, route: &CompiledRoute) -> Option<Answered> {
        if let Some(refused) = self.refused() {
            return Some(refused);
        }
        if let Some(status) = route.https_only.filter(|_| !self.is_tls) {
            return Some(self.wrong_scheme(status));
        }
        match route.grpc? {
            _ if !self.names_grpc => Some(answered(
                &Reply::not_grpc(),
                "the route is for gRPC: content-type is not application/grpc",
            )),
            _ if self.version.is_some_and(|version| version != HttpVersion::Http2) => {
                let why = "the route is for gRPC, which there is over HTTP/2 only";
                Some(answered(&Reply::http2_required(), why))
            }
            GrpcOver::Tls if !self.is_tls => {
                let why = "the route is for gRPC over TLS only: grpc-status is 1";
                Some(answered(&Reply::grpcs_required(), why))
            }
            _ => None,
        }
    }

    /// What goes upstream, or what the client is answered instead, as far as no plugin has it otherwise.
    pub(crate) fn outcome(&self, route: &CompiledRoute) -> Result<Upstream, Answered> {
        if let Some(answer) = self.answered_early(route) {
            return Err(answer);
        }
        let Some(service) = &route.service else {
            return Err(answered(&Reply::no_service(), "the route has no service"));
        };
        if service.is_grpc() && self.version == Some(HttpVersion::Http10) {
            return Err(answered(
                &Reply::http2_required(),
                "the service is for gRPC, which HTTP/1.0 cannot be told the end of",
            ));
        }
        let target = self.target_of(route, service);
        let own = service.authority.as_bytes();
        let keeps_host = route.preserve_host && !self.host.is_empty();
        let host = if keeps_host { self.host } else { own };
        let uri = format!("{}://{}{}", service.protocol, text(own), text(&target));
        Ok(Upstream { uri, host: text(host) })
    }

    fn target_of(&self, route: &CompiledRoute, service: &CompiledService) -> Text {
        if service.is_grpc() {
            return Text::from_slice(self.target);
        }
        let (raw, query) = path::split_target(self.target);
        let base = service.path.as_ref().map(|path| path.as_str());
        let mut target = Text::new();
        path::upstream(base, &normal_form(raw), self.stripped(route), &mut target);
        path::append_query(query, &mut target);
        target
    }

    fn wrong_scheme(&self, status: u16) -> Answered {
        let message = "the route is for https only".to_owned();
        let is_told_where = status != Reply::https_required().status();
        let location = is_told_where.then(|| {
            let host = host_name(self.host).to_ascii_lowercase();
            format!("https://{}{}", text(&host), text(self.target))
        });
        Answered { status, message, location }
    }
}

fn answered(reply: &Reply, why: &str) -> Answered {
    Answered { status: reply.status(), message: why.to_owned(), location: None }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
