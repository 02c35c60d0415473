//! Certificates and keys, given as a path, as PEM, or as base64 of PEM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::reader::Reader;
use crate::bounded;
use crate::properties::{self, Property};

impl Reader<'_> {
    /// The PEM a property means; none, and noted, where there is none to be had.
    pub(super) fn pem(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        self.read_pem(name, text)
    }

    /// The same for a property that may name several, between commas.
    pub(super) fn pems(&mut self, name: &str) -> Vec<String> {
        self.list(name).into_iter().filter_map(|text| self.read_pem(name, text)).collect()
    }

    /// The PEM that one text of a property means.
    pub(super) fn read_pem(&mut self, name: &str, text: &str) -> Option<String> {
        let (what, label) = if is_key(name) {
            ("key", "PRIVATE KEY-----")
        } else {
            ("certificate", "CERTIFICATE-----")
        };
        let path = self.settings.directory.join(text);
        let found = inline(text).map_or_else(|| bounded::read(&path, bounded::PEM), Ok);
        let mistake = match found {
            Ok(pem) if is_pem(&pem) && pem.contains(label) => return Some(pem),
            Ok(pem) if is_pem(&pem) => {
                format!("failed loading {what}: this is PEM of something else")
            }
            Ok(_) => format!("failed loading {what}: the file holds no PEM"),
            Err(error) => {
                format!("failed loading {what}: not PEM, not base64 of PEM, and as a file: {error}")
            }
        };
        self.wrong(name, mistake);
        None
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
}
