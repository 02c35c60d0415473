//! Shared mode: every node holds one pair, so the peer's certificate must be ours, byte for byte.
//!
//! The control plane refuses inside the handshake. A data plane finishes the
//! handshake first and then hangs up without a word: only so does the control
//! plane see the other certificate, and both logs can name both digests.

use std::sync::LazyLock;

use boring::ex_data::Index;
use boring::ssl::{Ssl, SslAlert, SslContextBuilder, SslRef, SslVerifyError, SslVerifyMode};

use super::{Fingerprint, TlsError};

/// The certificate the verify callback turned away, kept on the connection for [`verdict`].
static TURNED_AWAY: LazyLock<Index<Ssl, Mismatch>> =
    LazyLock::new(|| Ssl::new_ex_index().expect("BoringSSL hands out indices until memory ends"));

#[derive(Clone, Copy)]
struct Mismatch {
    shown: Fingerprint,
    pinned: Fingerprint,
}

/// Makes the handshake itself fail, with an alert, for any certificate but `pinned`.
pub(super) fn refuse_in_handshake(builder: &mut SslContextBuilder, pinned: Fingerprint) {
    let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    builder.set_custom_verify_callback(mode, move |ssl| match shown_by(ssl) {
        Some(shown) if shown == pinned => Ok(()),
        Some(shown) => {
            ssl.set_ex_data(*TURNED_AWAY, Mismatch { shown, pinned });
            Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE))
        }
        None => Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE)),
    });
}

/// Lets the handshake end; the caller must [`check`] before it uses the stream.
pub(super) fn refuse_after_handshake(builder: &mut SslContextBuilder) {
    builder.set_custom_verify_callback(SslVerifyMode::PEER, |_| Ok(()));
}

/// Whether the peer of a finished handshake is the pinned one.
pub(super) fn check(ssl: &SslRef, pinned: Fingerprint) -> Result<(), TlsError> {
    match shown_by(ssl) {
        Some(shown) if shown == pinned => Ok(()),
        Some(shown) => Err(TlsError::OtherCertificate { shown, pinned }),
        None => Err(TlsError::NoCertificate { pinned }),
    }
}

/// Why the handshake failed, if [`refuse_in_handshake`] made it fail.
pub(super) fn verdict(ssl: &SslRef) -> Option<TlsError> {
    let Mismatch { shown, pinned } = *ssl.ex_data(*TURNED_AWAY)?;
    Some(TlsError::OtherCertificate { shown, pinned })
}

/// SHA-256 of the peer's leaf; equal digests stand for equal DER.
fn shown_by(ssl: &SslRef) -> Option<Fingerprint> {
    let der = ssl.peer_certificate()?.to_der().ok()?;
    Some(Fingerprint::of(&der))
}
