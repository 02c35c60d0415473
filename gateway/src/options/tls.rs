//! How TLS is spoken with clients: versions, ciphers, and what is shown by default.

use super::reader::Reader;

/// TLS in front.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The oldest and the newest version that is spoken.
    pub versions: Versions,
    /// Ciphers of TLS 1.2 and before.
    pub ciphers: Ciphers,
    /// Whether our order of ciphers counts rather than the client's.
    pub prefer_server_ciphers: bool,
    /// Whether sessions are resumed.
    pub session_tickets: bool,
    /// Shown where no certificate is for a name: each with its key. Empty for one of our making.
    pub certificates: Vec<(String, String)>,
}

/// A range of TLS versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub oldest: Version,
    /// The newest.
    pub newest: Version,
}

impl Default for Versions {
    fn default() -> Self {
        Self { oldest: Version::V1_2, newest: Version::V1_3 }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // each is the version it spells
pub enum Version {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

/// Which ciphers, by Mozilla's names or in OpenSSL's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ciphers {
    /// Those of TLS 1.3 alone.
    Modern,
    /// Those that are safe with TLS 1.2 as well.
    #[default]
    Intermediate,
    /// Those old clients need.
    Old,
    /// A list of the operator's.
    Custom(String),
}

impl Reader<'_> {
    /// What `ssl_*` says about the listeners of `proxy_listen`. A suite decides about versions, too;
    /// only a custom one asks the other properties.
    pub(super) fn proxy_tls(&mut self) -> Tls {
        Tls {
            session_tickets: self.flag("ssl_session_tickets"),
            certificates: self.default_certificates(),
            ..self.tls()
        }
    }

    /// The same, as far as it is about every listener.
    pub(super) fn tls(&mut self) -> Tls {
        let suite = self.choice("ssl_cipher_suite");
        let (ciphers, oldest) = match suite {
            "modern" => (Ciphers::Modern, Version::V1_3),
            "old" => (Ciphers::Old, Version::V1_0),
            "custom" => (self.custom_ciphers(), Version::V1_2),
            "fips" => {
                self.wrong(
                    "ssl_cipher_suite",
                    "there is no FIPS module in this build; use intermediate",
                );
                (Ciphers::Intermediate, Version::V1_2)
            }
            _ => (Ciphers::Intermediate, Version::V1_2),
        };
        let is_custom = suite == "custom";
        if !is_custom {
            for name in ["ssl_ciphers", "ssl_protocols", "ssl_prefer_server_ciphers"] {
                if self.is_set(name) && !self.is_as_by_default(name) {
                    self.warn(format!(
                        "{name} has no effect: ssl_cipher_suite = {suite} decides; say custom"
                    ));
                }
            }
        }
        Tls {
            versions: match is_custom {
                true => self.versions(),
                false => Versions { oldest, ..Versions::default() },
            },
            prefer_server_ciphers: match is_custom {
                true => self.flag("ssl_prefer_server_ciphers"),
                false => ciphers == Ciphers::Old,
            },
            ciphers,
            ..Tls::default()
        }
    }

    fn custom_ciphers(&mut self) -> Ciphers {
        let Some(list) = self.text("ssl_ciphers") else {
            self.wrong("ssl_ciphers", "must be specified when ssl_cipher_suite = custom");
            return Ciphers::default();
        };
        Ciphers::Custom(list.to_owned())
    }

    /// A list of versions, of which the first and the last count: none between them can be left out.
    fn versions(&mut self) -> Versions {
        let mut found = Vec::new();
        for word in self.text("ssl_protocols").unwrap_or_default().split_ascii_whitespace() {
            match word {
                "TLSv1" => found.push(Version::V1_0),
                "TLSv1.1" => found.push(Version::V1_1),
                "TLSv1.2" => found.push(Version::V1_2),
                "TLSv1.3" => found.push(Version::V1_3),
                _ => self.wrong("ssl_protocols", "expected some of TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"),
            }
        }
        match (found.iter().min(), found.iter().max()) {
            (Some(&oldest), Some(&newest)) => Versions { oldest, newest },
            _ => Versions::default(),
        }
    }

    fn default_certificates(&mut self) -> Vec<(String, String)> {
        let pairs = self.pairs("ssl_cert", "ssl_cert_key");
        if pairs.len() > 2 {
            self.wrong("ssl_cert", "at most two are shown: one with an RSA key, one with another");
        }
        pairs
    }

    /// Certificates, each with its key.
    pub(super) fn pairs(
        &mut self,
        certificates: &'static str,
        keys: &'static str,
    ) -> Vec<(String, String)> {
        if self.list(certificates).len() != self.list(keys).len() {
            let what =
                format!("there must be as many keys as there are certificates in {certificates}");
            self.wrong(keys, what);
        }
        let (certificates, keys) = (self.pems(certificates), self.pems(keys));
        certificates.into_iter().zip(keys).collect()
    }
}
