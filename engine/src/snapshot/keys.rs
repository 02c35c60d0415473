//! Keys of which both halves are given: do they belong together.
//!
//! Whoever signs with one half of a pair that is none is believed by nobody who has the other.

use super::certificates::{UNUSABLE, private_key};
use boring::pkey::PKey;
use boring::rsa::Rsa;
use model::config::Difference;
use model::entities::{Key, Pem};
use model::vitals::Problem;
use model::{Config, EntityKind};

/// Adds to `problems` what is wrong with the keys that are not as they were `before`.
pub(super) fn check(config: &Config, before: &Config, problems: &mut Vec<Problem>) {
    for difference in config.all::<Key>().since(before.all()) {
        let Difference::Put(stored) = difference else { continue };
        let key = &stored.entity;
        if let Some(message) = key.pem.as_ref().and_then(flaw) {
            problems.push(Problem::of(EntityKind::Key, key.id, UNUSABLE, message).at("pem"));
        }
    }
}

/// In Kong's words. What a vault has is not looked at.
fn flaw(pem: &Pem) -> Option<&'static str> {
    let private = pem.private_key.as_ref().and_then(|key| key.value());
    let public = pem.public_key.as_ref().and_then(|key| key.value());
    let private = private.map(|key| private_key(key.as_str().as_bytes()));
    let public = public.map(|key| {
        let text = key.as_str().as_bytes();
        // Of RSA there is an older form.
        PKey::public_key_from_pem(text)
            .or_else(|_| PKey::from_rsa(Rsa::public_key_from_pem_pkcs1(text)?))
    });
    match (private, public) {
        (_, Some(Err(_))) => Some("could not load public key"),
        (Some(Err(_)), _) => Some("could not load private key"),
        (Some(Ok(private)), Some(Ok(public))) if !private.public_eq(&public) => {
            Some("public key does not match private key")
        }
        _ => None,
    }
}
