//! Names and tags of entities.

use crate::schema::{Invalid, Rule};

/// The longest name and the longest tag, in bytes. Both are kept in indexes, and PostgreSQL's take no
/// entry of more than 2,704 bytes.
const LENGTH: Rule = Rule::LenMax(2048);

text! {
    /// What an entity is called: letters, digits, `.`, `-`, `_`, `~` and anything
    /// beyond ASCII.
    Name, admit_name, LENGTH
}

text! {
    /// A label: any printable text without `,` and `/`, which separate tags in
    /// queries.
    Tag, admit_tag, LENGTH
}

fn admit_name(name: &str) -> Result<(), Invalid> {
    let allowed =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~');
    if !name.is_empty() && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Invalid(format!(
        "invalid value '{name}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
    )))
}

fn admit_tag(tag: &str) -> Result<(), Invalid> {
    let allowed = |c: char| !c.is_ascii() || (matches!(c, ' '..='~') && c != ',' && c != '/');
    if !tag.is_empty() && tag.chars().all(allowed) {
        return Ok(());
    }
    Err(Invalid(format!(
        "invalid tag '{tag}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
    )))
}
