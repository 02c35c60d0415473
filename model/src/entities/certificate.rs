//! Certificates, so far only as something a service can point at: none can be
//! stored yet, so every such reference is refused as dangling.

use crate::schema::Named;

/// What a certificate reference points at. There is no value of this type.
#[derive(Debug)]
pub enum Certificate {}

impl Named for Certificate {
    const NAME: &'static str = "certificates";
}
