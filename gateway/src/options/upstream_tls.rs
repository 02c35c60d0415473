//! How TLS is spoken with upstreams whose service does not say: Kong's own properties, and those
//! of nginx's `proxy_ssl_*` that Kong passes on.

use super::reader::Reader;

/// TLS towards upstreams.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// Whether certificates are verified.
    pub verify: bool,
    /// How many intermediate certificates may lead from one to its authority.
    pub verify_depth: u16,
    /// Authorities that are trusted, in PEM.
    pub authorities: Vec<String>,
    /// Whether the system's are trusted as well.
    pub system_authorities: bool,
    /// What an upstream that asks for a certificate is shown, and its key.
    pub certificate: Option<(String, String)>,
}

const CERT: &str = "client_ssl_cert";
const KEY: &str = "client_ssl_cert_key";
const TRUSTED: &str = "lua_ssl_trusted_certificate";
const NGINX_TRUSTED: &str = "nginx_proxy_proxy_ssl_trusted_certificate";

impl Reader<'_> {
    pub(super) fn upstream_tls(&mut self) -> UpstreamTls {
        let (authorities, system_authorities) = self.authorities();
        UpstreamTls {
            verify: self.flag("nginx_proxy_proxy_ssl_verify"),
            verify_depth: self.whole("nginx_proxy_proxy_ssl_verify_depth", 0..=64) as u16,
            authorities,
            system_authorities,
            certificate: self.client_certificate(),
        }
    }

    /// nginx is told by the one property what it trusts, so that Kong's, which is for connections
    /// of its own, comes second.
    fn authorities(&mut self) -> (Vec<String>, bool) {
        if self.is_set(NGINX_TRUSTED) {
            return (self.pem(NGINX_TRUSTED).into_iter().collect(), false);
        }
        self.trusted()
    }

    /// Whom Kong's own connections trust: authorities in PEM, and whether the system's as well.
    pub(super) fn trusted(&mut self) -> (Vec<String>, bool) {
        let (system, named): (Vec<_>, Vec<_>) =
            self.list(TRUSTED).into_iter().partition(|text| *text == "system");
        let read = named.into_iter().filter_map(|text| self.read_pem(TRUSTED, text)).collect();
        (read, !system.is_empty())
    }

    fn client_certificate(&mut self) -> Option<(String, String)> {
        let given = [CERT, KEY].map(|name| (name, self.is_set(name)));
        if !self.flag("client_ssl") {
            return None;
        }
        for (name, _) in given.into_iter().filter(|(_, given)| !given) {
            self.wrong(name, "must be specified where client_ssl is on");
        }
        self.pem(CERT).zip(self.pem(KEY))
    }
}
