//! Certificates and keys, given as a path, as PEM, or as base64 of PEM.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::reader::Reader;
use crate::properties::{self, Property};

/// PEM text and, where it was read from a file, which: a file may be read again later.
#[derive(Clone, Default)]
pub struct Pem {
    /// The text, `-----BEGIN` and all.
    pub text: String,
    /// The file it was in.
    pub path: Option<PathBuf>,
}

/// Never shows the text: it may be a key.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pem").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reader<'_> {
    /// The PEM a property means; empty, and noted, where there is none to be had.
    pub(super) fn pem(&mut self, name: &str) -> Pem {
        self.text(name).map(|text| self.read_pem(name, text)).unwrap_or_default()
    }

    /// The same for a property that may name several, between commas.
    pub(super) fn pems(&mut self, name: &str) -> Vec<Pem> {
        self.list(name).into_iter().map(|text| self.read_pem(name, text)).collect()
    }

    fn read_pem(&mut self, name: &str, text: &str) -> Pem {
        if let Some(text) = inline(text) {
            return Pem { text, path: None };
        }
        let path = self.settings.directory.join(text);
        let what = if is_key(name) { "key" } else { "certificate" };
        match fs::read_to_string(&path) {
            Ok(text) if is_pem(&text) => return Pem { text, path: Some(path) },
            Ok(_) => self.wrong(name, format!("failed loading {what}: the file holds no PEM")),
            Err(error) => self.wrong(
                name,
                format!(
                    "failed loading {what}: not PEM, not base64 of PEM, and as a file: {error}"
                ),
            ),
        }
        Pem::default()
    }
}

fn is_key(name: &str) -> bool {
    properties::find(name).is_some_and(Property::is_secret)
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

fn inline(text: &str) -> Option<String> {
    if is_pem(text) {
        return Some(text.to_owned());
    }
    let compact: String = text.split_ascii_whitespace().collect();
    let decoded = String::from_utf8(STANDARD.decode(compact).ok()?).ok()?;
    is_pem(&decoded).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_and_base64_of_pem_are_taken_as_they_are() {
        let pem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        assert_eq!(inline(pem).as_deref(), Some(pem));
        let encoded = STANDARD.encode(pem);
        assert_eq!(inline(&encoded).as_deref(), Some(pem));
        let (a, b) = encoded.split_at(20);
        assert_eq!(inline(&format!("{a}\n {b}")).as_deref(), Some(pem));
        assert_eq!(inline("cluster.crt"), None);
        assert_eq!(inline(&STANDARD.encode("not pem")), None);
    }

    #[test]
    fn a_key_is_never_shown() {
        let pem = Pem { text: "secret".to_owned(), path: None };
        assert!(!format!("{pem:?}").contains("secret"));
    }
}
