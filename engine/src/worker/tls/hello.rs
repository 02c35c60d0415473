//! What a client says it takes, as far as the choice between two certificates needs it.

use crate::snapshot::certificates::KeyKind;
use boring::ssl::{ClientHello, ExtensionType};

/// TLS 1.3, as `supported_versions` spells it (RFC 8446 §4.2.1).
const TLS13: u16 = 0x0304;
/// Cipher suites of TLS 1.2 and before whose server signs with an elliptic-curve key, of those
/// BoringSSL has.
const ECDSA_SUITES: [u16; 7] = [0xc02b, 0xc02c, 0xcca9, 0xc023, 0xc024, 0xc009, 0xc00a];

/// Signatures and ciphers of a client.
#[derive(Debug, Default)]
pub(super) struct Takes {
    /// Codes of signature schemes (RFC 8446 §4.2.3); empty if it names none.
    schemes: Vec<u16>,
    /// Whether it can be shown a certificate that is not RSA.
    other_than_rsa: bool,
}

impl Takes {
    pub(super) fn of(hello: &ClientHello<'_>) -> Takes {
        let extension = |kind| hello.get_extension(kind).unwrap_or_default();
        // Behind two bytes and one byte of length.
        let schemes = codes(extension(ExtensionType::SIGNATURE_ALGORITHMS).get(2..)).collect();
        let mut versions = codes(extension(ExtensionType::SUPPORTED_VERSIONS).get(1..));
        let other_than_rsa = versions.any(|version| version == TLS13)
            || codes(Some(hello.ciphers())).any(|suite| ECDSA_SUITES.contains(&suite));
        Takes { schemes, other_than_rsa }
    }

    /// Whether it takes signatures by a key of this kind. One that names no schemes is older
    /// than TLS 1.2's choice of them, and takes RSA.
    pub(super) fn signed_by(&self, kind: KeyKind) -> bool {
        let wanted: &[u16] = match kind {
            KeyKind::Rsa => &[0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0201],
            KeyKind::Ec(..=256) => &[0x0403],
            KeyKind::Ec(..=384) => &[0x0503],
            KeyKind::Ec(_) => &[0x0603],
            KeyKind::Other => &[0x0807],
        };
        match kind {
            KeyKind::Rsa if self.schemes.is_empty() => true,
            KeyKind::Rsa => self.takes_any(wanted),
            _ => self.other_than_rsa && self.takes_any(wanted),
        }
    }

    fn takes_any(&self, schemes: &[u16]) -> bool {
        self.schemes.iter().any(|scheme| schemes.contains(scheme))
    }
}

fn codes(bytes: Option<&[u8]>) -> impl Iterator<Item = u16> {
    let pairs = bytes.unwrap_or_default().chunks_exact(2);
    pairs.filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_needs_its_scheme_and_its_suite() {
        let takes =
            |schemes: &[u16], other_than_rsa| Takes { schemes: schemes.into(), other_than_rsa };
        let modern = takes(&[0x0403, 0x0804], true);
        assert!(modern.signed_by(KeyKind::Ec(256)) && modern.signed_by(KeyKind::Rsa));
        assert!(!modern.signed_by(KeyKind::Ec(384)) && !modern.signed_by(KeyKind::Other));
        assert!(!takes(&[0x0403, 0x0401], false).signed_by(KeyKind::Ec(256)));
        assert!(takes(&[], false).signed_by(KeyKind::Rsa));
        assert!(!takes(&[0x0403], true).signed_by(KeyKind::Rsa));
    }

    #[test]
    fn codes_are_read_in_pairs_whatever_is_left() {
        assert_eq!(codes(Some(&[3, 4, 3, 3, 9])).collect::<Vec<_>>(), [TLS13, 0x0303]);
        assert_eq!(codes(None).count(), 0);
    }
}
