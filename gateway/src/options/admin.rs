//! The Admin API and the status listener: where they are, how TLS is spoken there, and who is let in.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;

use super::listen::Listen;
use super::reader::Reader;
use super::tls::Version;
use super::{Admin, Ciphers, Status, Tls};
use crate::bounded;

/// What lets nobody but the owner of a file write to it.
const OTHERS_WRITE: u32 = 0o022;

impl Reader<'_> {
    pub(super) fn admin(&mut self, role: &str, prefix: &Path) -> Admin {
        let listen = self.listeners("admin_listen");
        let tls = self.admin_tls(&listen, prefix);
        let tokens = self.tokens();
        let asks = tls.clients.as_ref().is_some_and(|clients| clients.required);
        let warnings = self.open_doors(&listen, tokens.is_some(), asks);
        Admin {
            listen,
            tls,
            rules: admin::Rules { tokens: tokens.map(Arc::new), warnings },
            origins: self.origins(),
            database: self.database(role, prefix),
            max_body: self.size("nginx_admin_client_max_body_size"),
            revisions_kept: self.whole("revision_log_keep", 1..=u64::from(u32::MAX)),
            audit_kept: Duration::from_secs(86_400 * self.whole("audit_keep_days", 0..=36_500)),
            purge_delay: Duration::from_secs(
                self.whole("cluster_data_plane_purge_delay", 60..=u64::from(u32::MAX)),
            ),
            headers: self.headers(),
        }
    }

    pub(super) fn status(&mut self, prefix: &Path) -> Status {
        let listen = self.listeners("status_listen");
        let tls = self.tls_of(&["status_ssl_cert", "status_ssl_cert_key"], &listen, prefix);
        Status { listen, tls }
    }

    fn admin_tls(&mut self, listen: &[Listen], prefix: &Path) -> admin::Tls {
        let tls = self.tls_of(&["admin_ssl_cert", "admin_ssl_cert_key"], listen, prefix);
        let tls = admin::Tls { clients: self.clients(listen), ..tls };
        if let Err(error @ admin::TlsError::Authorities(_)) = tls.check() {
            self.wrong("nginx_admin_ssl_client_certificate", error);
        }
        tls
    }

    /// How the listeners that speak TLS do it. Where none does, their certificates are not looked at.
    fn tls_of(
        &mut self,
        [certificate, key]: &[&'static str; 2],
        listen: &[Listen],
        prefix: &Path,
    ) -> admin::Tls {
        if !listen.iter().any(|listen| listen.tls) {
            return admin::Tls::default();
        }
        let pairs = self.pairs(certificate, key);
        let Tls { versions, ciphers, prefer_server_ciphers, .. } = self.tls();
        let whose = certificate.trim_end_matches("_ssl_cert");
        let tls = admin::Tls {
            oldest: version(versions.oldest),
            newest: version(versions.newest),
            ciphers: match ciphers {
                Ciphers::Modern => None,
                Ciphers::Intermediate => Some(engine::options::Tls::INTERMEDIATE.to_owned()),
                Ciphers::Old => Some(engine::options::Tls::OLD.to_owned()),
                Ciphers::Custom(list) => Some(list),
            },
            prefer_server_ciphers,
            certificates: match pairs.is_empty() {
                true => admin::Certificates::Own(Some(own_pair(prefix, whose))),
                false => admin::Certificates::Given(pairs),
            },
            clients: None,
        };
        match tls.check() {
            Ok(()) => {}
            Err(error @ admin::TlsError::Pair { .. }) => self.wrong(certificate, error),
            Err(error @ admin::TlsError::Ciphers(_)) => self.wrong("ssl_ciphers", error),
            Err(error) => self.wrong(certificate, error),
        }
        tls
    }

    /// nginx's way of asking clients for a certificate, under the names Kong has for its directives.
    fn clients(&mut self, listen: &[Listen]) -> Option<admin::Clients> {
        const ASK: &str = "nginx_admin_ssl_verify_client";
        const AUTHORITIES: &str = "nginx_admin_ssl_client_certificate";
        let (asks, depth) = (self.choice(ASK), self.whole("nginx_admin_ssl_verify_depth", 0..=64));
        let authorities = self.pem(AUTHORITIES);
        if asks == "off" {
            if self.is_set(AUTHORITIES) {
                self.warn(format!("{AUTHORITIES} has no effect until {ASK} is on or optional"));
            }
            return None;
        }
        if !listen.iter().any(|listen| listen.tls) {
            self.wrong(ASK, "no listener of admin_listen speaks TLS; add ssl to one");
        }
        if !self.is_set(AUTHORITIES) {
            self.wrong(AUTHORITIES, format!("must be specified when {ASK} = {asks}"));
        }
        Some(admin::Clients {
            authorities: authorities?,
            required: asks == "on",
            depth: depth as u32,
        })
    }

    /// The tokens that let in; none where none is needed. Every mistake in the file is told.
    fn tokens(&mut self) -> Option<admin::Tokens> {
        const NAME: &str = "admin_api_tokens_file";
        let path = self.path(NAME)?;
        if let Err(why) = check_owner(&path) {
            self.wrong(NAME, why);
        }
        let text = match bounded::read(&path, bounded::TOKENS) {
            Ok(text) => text,
            Err(error) => {
                self.wrong(NAME, format!("cannot read {}: {error}", path.display()));
                return None;
            }
        };
        match admin::Tokens::parse(&text) {
            Ok(tokens) if tokens.is_empty() => {
                self.wrong(NAME, "it holds no token, so nobody could use the Admin API; `gateway admin token` makes one");
                None
            }
            Ok(tokens) => Some(tokens),
            Err(mistakes) => {
                for admin::TokenMistake { line, what } in mistakes {
                    self.wrong(NAME, format!("line {line}: {what}"));
                }
                None
            }
        }
    }

    /// What there is to say of listeners that let in more than they should; some of it may be an error.
    fn open_doors(&mut self, listen: &[Listen], has_tokens: bool, asks: bool) -> Vec<String> {
        let is_required = self.choice("admin_auth") == "required";
        let mut warnings = Vec::new();
        for listen in listen {
            let (addr, is_local) = (listen.addr, listen.addr.ip().to_canonical().is_loopback());
            let is_guarded = has_tokens || (asks && listen.tls);
            if !is_guarded && is_required {
                self.wrong("admin_auth", format!("{addr} of admin_listen lets in everybody who reaches it; set admin_api_tokens_file, or have it ask for certificates (ssl, nginx_admin_ssl_verify_client = on)"));
            } else if !is_guarded && !is_local {
                warnings.push(format!("admin_listen: everybody who reaches {addr} may read and change everything; set admin_api_tokens_file, or have it ask for certificates (ssl, nginx_admin_ssl_verify_client = on), or bind it to 127.0.0.1"));
            } else if has_tokens && !listen.tls && !is_local {
                warnings.push(format!("admin_listen: tokens are sent to {addr} in cleartext, where others may read them; add ssl"));
            }
        }
        for warning in &warnings {
            self.warn(warning.clone());
        }
        warnings
    }

    fn origins(&mut self) -> admin::Origins {
        admin::Origins::of(self.list("admin_gui_url")).unwrap_or_else(|url| {
            self.wrong(
                "admin_gui_url",
                format!(
                    "`{url}` is not the address of a page, such as https://manager.example.com"
                ),
            );
            admin::Origins::default()
        })
    }
}

/// Where the pair of our own is kept: where Kong keeps its own.
fn own_pair(prefix: &Path, whose: &str) -> PathBuf {
    prefix.join(format!("ssl/{whose}-kong-default-ecdsa"))
}

/// Who can write to the file can let in anybody.
fn check_owner(path: &Path) -> Result<(), String> {
    let Ok(file) = fs::metadata(path) else { return Ok(()) }; // reading it will tell
    let (mode, owner) = (file.mode() & 0o777, file.uid());
    if mode & OTHERS_WRITE != 0 {
        return Err(format!(
            "others may write to it, and so let themselves in: its mode is {mode:04o}; `chmod go-w` it"
        ));
    }
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(format!(
            "it belongs to user {owner}, who may let in anybody; it should be this process's or root's"
        ));
    }
    Ok(())
}

fn version(version: Version) -> admin::TlsVersion {
    match version {
        Version::V1_0 => admin::TlsVersion::V1_0,
        Version::V1_1 => admin::TlsVersion::V1_1,
        Version::V1_2 => admin::TlsVersion::V1_2,
        Version::V1_3 => admin::TlsVersion::V1_3,
    }
}
