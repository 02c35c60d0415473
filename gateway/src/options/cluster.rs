//! The link between the planes, from either end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ::cluster::ed25519::PublicKey;
use ::cluster::tls::{Credentials, CredentialsError};

use super::listen::Listen;
use super::reader::Reader;
use crate::bounded;

/// Kong's limits on labels: how many, and how long a key or a value may be.
const MOST_LABELS: usize = 10;
const LONGEST_LABEL: usize = 63;
const RESERVED_LABELS: [&str; 5] = ["kong", "konnect", "insomnia", "mesh", "kic"];

/// The control plane's end.
#[derive(Debug)]
pub struct ClusterServer {
    /// Where data planes connect.
    pub listen: Vec<Listen>,
    /// What this node shows, and expects to be shown.
    pub credentials: Credentials,
}

/// The data plane's end.
#[derive(Debug)]
pub struct ClusterClient {
    /// The control planes, in the order they are tried.
    pub control_planes: Vec<Endpoint>,
    /// What this node shows, and expects to be shown.
    pub credentials: Credentials,
    /// The key revisions must be signed with; `None` to keep the first one seen.
    pub trust: Option<PublicKey>,
    /// What this node is called on the control plane.
    pub labels: BTreeMap<String, String>,
    /// The cache's directory; `None` for no cache.
    pub cache: Option<PathBuf>,
}

/// A host and a port; the host may be a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// A name, or an address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl Reader<'_> {
    /// None, and noted, where there are no credentials: nothing stands in for them.
    pub(super) fn cluster_server(&mut self) -> Option<ClusterServer> {
        let listen = self.any_listeners("cluster_listen");
        Some(ClusterServer { listen, credentials: self.credentials()? })
    }

    /// None, and noted, where there are no credentials: nothing stands in for them.
    pub(super) fn cluster_client(&mut self, prefix: &Path) -> Option<ClusterClient> {
        let control_planes = self.control_planes();
        let (trust, labels, cache) = (self.trust_key(), self.labels(), self.cache(prefix));
        let credentials = self.credentials()?;
        Some(ClusterClient { control_planes, credentials, trust, labels, cache })
    }

    pub(super) fn refuse_labels(&mut self, why: &str) {
        if self.is_set("cluster_dp_labels") {
            self.wrong("cluster_dp_labels", why);
        }
    }

    /// The pair that the link will use, taken in here so that `check` says what `start` would.
    fn credentials(&mut self) -> Option<Credentials> {
        let missing =
            ["cluster_cert", "cluster_cert_key"].into_iter().find(|name| !self.is_set(name));
        if let Some(missing) = missing {
            self.wrong(missing, "cluster certificate and key must be provided to use Hybrid mode");
        }
        let (certificate, key) = (self.pem("cluster_cert"), self.pem("cluster_cert_key"));
        match Credentials::from_pem(certificate?.as_bytes(), key?.as_bytes()) {
            Ok(credentials) => {
                credentials.warning().into_iter().for_each(|text| self.warn(text));
                Some(credentials)
            }
            Err(error) => {
                self.wrong(culprit(&error), format!("{:#}", anyhow::Error::from(error)));
                None
            }
        }
    }

    fn control_planes(&mut self) -> Vec<Endpoint> {
        let parsed: Result<Vec<_>, _> =
            self.list("cluster_control_plane").into_iter().map(str::parse).collect();
        match parsed {
            Ok(endpoints) => endpoints,
            Err(error) => {
                self.wrong("cluster_control_plane", error);
                Vec::new()
            }
        }
    }

    fn trust_key(&mut self) -> Option<PublicKey> {
        let text = self.text("cluster_trust_key")?;
        let parsed = text.trim().parse().ok().or_else(|| {
            let path = self.settings.directory.join(text);
            let file = bounded::read(&path, bounded::PEM).ok()?;
            file.trim().parse().ok()
        });
        if parsed.is_none() {
            self.wrong("cluster_trust_key", "expected base64 of 32 bytes, or a file that holds it");
        }
        parsed
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        let items = self.list("cluster_dp_labels");
        if items.len() > MOST_LABELS {
            self.wrong(
                "cluster_dp_labels",
                format!("at most {MOST_LABELS} labels are possible, these are {}", items.len()),
            );
        }
        let mut labels = BTreeMap::new();
        for item in items {
            match label(item) {
                Ok((key, value)) => drop(labels.insert(key.to_owned(), value.to_owned())),
                Err(error) => self.wrong("cluster_dp_labels", error),
            }
        }
        labels
    }

    fn cache(&mut self, prefix: &Path) -> Option<PathBuf> {
        if self.choice("data_plane_config_cache_mode") == "off" {
            return None;
        }
        if let Some(directory) = self.path("data_plane_config_cache_path") {
            return Some(directory.join("dbless.lmdb"));
        }
        self.text("lmdb_environment_path").map(|path| prefix.join(path))
    }
}

/// Which property to mend.
fn culprit(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::Certificate(_) | CredentialsError::Unreadable(_) => "cluster_cert",
        CredentialsError::Key(_) | CredentialsError::NotAPair { .. } => "cluster_cert_key",
    }
}

fn label(item: &str) -> Result<(&str, &str), String> {
    let (key, value) = item.split_once(':').ok_or_else(|| format!("`{item}` is not key:value"))?;
    if let Some(reserved) =
        RESERVED_LABELS.into_iter().find(|word| key.to_ascii_lowercase().starts_with(word))
    {
        return Err(format!("the label key `{key}` must not begin with `{reserved}`"));
    }
    for (what, text) in [("key", key), ("value", value)] {
        if !is_label(text) {
            return Err(format!(
                "the label {what} `{text}` must have between 1 and {LONGEST_LABEL} letters, digits, `.`, `-`, `_` or `:`, \
                 and begin and end with a letter or digit"
            ));
        }
    }
    Ok((key, value))
}

fn is_label(text: &str) -> bool {
    let ends = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    ends && text.len() <= LONGEST_LABEL
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))
}

/// Why a text is not the address of a control plane.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("`{0}` is not host:port")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bad = || EndpointError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let is_host = if bare.is_some() {
            host.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        is_host.then(|| Self { host: host.to_owned(), port }).ok_or_else(bad)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_is_a_host_and_a_port() {
        for (text, shown) in [
            ("cp.internal:8005", Some("cp.internal:8005")),
            ("10.0.0.1:1", Some("10.0.0.1:1")),
            ("[::1]:8005", Some("[::1]:8005")),
            ("cp.internal", None),
            ("cp:0", None),
            (":8005", None),
            ("::1:8005", None),
            ("https://cp:8005", None),
            ("[cp]:1", None),
        ] {
            assert_eq!(
                text.parse::<Endpoint>().ok().map(|e| e.to_string()).as_deref(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn labels_follow_kongs_rules() {
        let long = format!("{}:v", "k".repeat(64));
        for (item, good) in [
            ("region:eu-1", true),
            ("a:b:c", true),
            ("Env:Prod", true),
            ("region", false),
            (":v", false),
            ("k:", false),
            ("kong-x:1", false),
            ("Konnect:1", false),
            ("k:-v", false),
            ("k:ü", false),
            (long.as_str(), false),
        ] {
            assert_eq!(label(item).is_ok(), good, "{item}");
        }
    }
}
