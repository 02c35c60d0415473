//! HTTP methods.

use crate::schema::Invalid;

text! {
    /// A method's name: upper-case letters, known or not.
    Method, admit
}

fn admit(name: &str) -> Result<(), Invalid> {
    let holds = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase());
    if holds { Ok(()) } else { Err(Invalid(format!("invalid value: {name}"))) }
}
