//! Who may use the Admin API, and for what. Without tokens and without certificates that is whoever
//! reaches it, as with Kong.
//!
//! A token says more than a certificate: who shows both is the one the token is for. What may be done
//! is decided here, once, before a request is looked at; how a refusal looks, in [`crate::api`].

mod tokens; // the file of tokens

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request};

use crate::serve::tls::Credential;
use crate::serve::{Origins, Peer};
pub use tokens::{NewToken, NewTokenError, Role, TokenMistake, Tokens};

/// Where clients of Kong's enterprise edition put their token.
const KONG_ADMIN_TOKEN: HeaderName = HeaderName::from_static("kong-admin-token");

/// Who is let in, and what came of it so far.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    rules: RwLock<Arc<Rules>>,
    origins: Arc<Origins>,
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
}

/// What can change while the Admin API is served.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Who is let in by which token (`admin_api_tokens_file`); `None` where none is needed.
    pub tokens: Option<Arc<Tokens>>,
    /// What operators should be told of the listeners for as long as it is so, such as that one of
    /// them lets in everybody.
    pub warnings: Vec<String>,
}

/// Who makes a request, and may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The token's name, or the certificate's; else the address.
    pub(crate) who: Arc<str>,
    /// The address.
    pub(crate) from: IpAddr,
}

/// Why a request is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// A certificate is needed, and none was shown.
    NoCertificate,
    /// The certificate that was shown is not believed.
    BadCertificate(Arc<str>),
    /// A token is needed; whether one was shown.
    Unauthorized { shown: bool },
    /// The token is for reading.
    ReadOnly,
    /// A browser sends it, with its user's certificate, for a page that is not ours.
    ForeignPage,
}

impl Guard {
    pub(crate) fn new(rules: Rules, origins: Arc<Origins>) -> Self {
        Self { rules: RwLock::new(Arc::new(rules)), origins, ..Self::default() }
    }

    /// Has requests from now on judged by these.
    pub(crate) fn renew(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many requests were not let in for want of a token or certificate, and how many of those
    /// that were let in may not do what they asked for.
    pub(crate) fn refused(&self) -> (u64, u64) {
        (self.unauthorized.load(Ordering::Relaxed), self.forbidden.load(Ordering::Relaxed))
    }

    /// Whose request this is; none for one that is everybody's.
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<Option<Caller>, Denied> {
        let judged = self.judge(request);
        let count = match &judged {
            Ok(_) => return judged,
            Err(Denied::ReadOnly | Denied::ForeignPage) => &self.forbidden,
            Err(_) => &self.unauthorized,
        };
        count.fetch_add(1, Ordering::Relaxed);
        judged
    }

    fn judge<B>(&self, request: &Request<B>) -> Result<Option<Caller>, Denied> {
        let Some(peer) = request.extensions().get::<Peer>() else { return Ok(None) };
        // A browser asks what it may ask before it shows anything (the Fetch standard, §3.3).
        let asks_only = request.method() == Method::OPTIONS;
        let certificate = match &peer.credential {
            Credential::Untrusted(why) => return Err(Denied::BadCertificate(Arc::clone(why))),
            Credential::Missing { required: true } if !asks_only => {
                return Err(Denied::NoCertificate);
            }
            Credential::Trusted(name) => Some(name),
            Credential::NotAsked | Credential::Missing { .. } | Credential::Misdirected => None,
        };
        let caller = |who: &Arc<str>| Caller { who: Arc::clone(who), from: peer.ip };
        let rules = self.rules();
        if let Some(tokens) = &rules.tokens {
            let token = shown(request.headers());
            if let Some((name, role)) = token.and_then(|token| tokens.find(token)) {
                return match role {
                    Role::ReadOnly if !reads(request.method(), request.uri().path()) => {
                        Err(Denied::ReadOnly)
                    }
                    Role::ReadOnly | Role::Admin => Ok(Some(caller(name))),
                };
            }
            if token.is_some() || (certificate.is_none() && !asks_only) {
                return Err(Denied::Unauthorized { shown: token.is_some() });
            }
        }
        match certificate {
            Some(_) if self.is_for_another_page(request) => Err(Denied::ForeignPage),
            Some(name) => Ok(Some(caller(name))),
            None => Ok(Some(caller(&peer.ip.to_string().into()))),
        }
    }

    /// Browsers show their user's certificate whoever wrote the page that has them ask.
    fn is_for_another_page<B>(&self, request: &Request<B>) -> bool {
        let Some(origin) = request.headers().get(ORIGIN) else { return false };
        let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
        let host = host.or(request.uri().authority().map(|host| host.as_str().as_bytes()));
        let is_own = origin.as_bytes().strip_prefix(b"https://").is_some_and(|o| Some(o) == host);
        !is_own && !self.origins.has(origin)
    }
}

/// The token that is shown.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    let token = bearer.or_else(|| headers.get(KONG_ADMIN_TOKEN).map(HeaderValue::as_bytes));
    token.filter(|token| !token.is_empty())
}

/// Whether a request leaves everything as it is. Questions with a body are sent as POST.
fn reads(method: &Method, path: &str) -> bool {
    let asks = path == "/debug/route"
        || path.strip_prefix("/schemas/").is_some_and(|rest| rest.ends_with("/validate"));
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => true,
        Method::POST => asks,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
