//! References to secrets that are kept elsewhere: `{vault://env/db-password}`.
//!
//! A [`Reference`] stands wherever a secret might, in a property or in a field of an entity, and is shown,
//! saved and sent as it is. What it refers to is known only to the node that uses it: that node brings
//! [`Vaults`], and [`Reference::resolve`] asks them. Nothing is looked up here.

use std::collections::BTreeMap;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

const BEGIN: &str = "{vault://";
const END: &str = "}";

/// Where a secret is: `{vault://<vault>/<resource>[/<key>][?<option>=<value>][#<version>]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// A type of vault, such as `env`, or what a configured vault is called.
    pub vault: String,
    /// What to ask it for.
    pub resource: String,
    /// The member that is meant, where the resource is a JSON object.
    pub key: Option<String>,
    /// What is to be different from how the vault is configured.
    pub options: BTreeMap<String, String>,
    /// Which of several versions; for `env`, 2 is the one before.
    pub version: Option<u32>,
}

/// Whoever can be asked for secrets.
pub trait Vaults {
    /// What the vault that a reference names has under its resource, before a key is looked at.
    ///
    /// # Errors
    /// If there is no such vault, or if it has no such thing.
    fn fetch(&self, reference: &Reference) -> Result<String, VaultError>;
}

/// Why a reference is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It does not look like one.
    #[error("a reference is {{vault://<vault>/<resource>[/<key>]}}")]
    Shape,
    /// Nothing is asked for.
    #[error("it names no resource: {{vault://<vault>/<resource>[/<key>]}}")]
    NoResource,
    /// What follows `#` is no number.
    #[error("its version, `{0}`, is not a number")]
    Version(String),
    /// An escape does not stand for text.
    #[error("`{0}` is not text")]
    Escape(String),
}

/// Why a reference leads to no secret. It names what was asked for, never what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It is not a reference at all.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is no such vault.
    #[error("there is no vault `{0}`")]
    NoSuchVault(String),
    /// No vault may be asked.
    #[error("vaults are switched off")]
    SwitchedOff,
    /// The vault has nothing of that name.
    #[error("{0} is not set")]
    NotSet(String),
    /// What it has is not text.
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    /// A key was asked for, and the secret is not a JSON object.
    #[error("the secret is not a JSON object, so it has no key `{0}`")]
    NoObject(String),
    /// The object has no such key.
    #[error("the secret has no key `{0}`")]
    NoKey(String),
    /// What is under the key is no text.
    #[error("what the secret has under the key `{0}` is not text")]
    KeyIsNoText(String),
}

/// Whether a text stands for a secret that is kept elsewhere, where one may. It may still be that no vault is
/// named, or none that there is: whoever uses it finds out.
pub fn is_reference(text: &str) -> bool {
    Reference::is_meant(text) && text.ends_with(END)
}

impl Reference {
    /// Whether the text is meant as a reference, well-formed or not.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(BEGIN)
    }

    /// The secret.
    pub fn resolve(&self, vaults: &dyn Vaults) -> Result<String, VaultError> {
        let found = vaults.fetch(self)?;
        match &self.key {
            None => Ok(found),
            Some(key) => member(&found, key),
        }
    }

    /// The environment variable that is meant, where the vault is one of environment variables and is
    /// configured with this prefix. The reference may have one of its own.
    pub fn variable(&self, prefix: &str) -> String {
        let prefix = self.options.get("prefix").map_or(prefix, String::as_str);
        let name = format!("{prefix}{}", self.resource).to_ascii_uppercase().replace('-', "_");
        if self.version == Some(2) { name + "_PREVIOUS" } else { name }
    }
}

/// Kong looks no deeper than the first level, and takes texts only.
fn member(secret: &str, key: &str) -> Result<String, VaultError> {
    let object: Map<String, Value> =
        serde_json::from_str(secret).map_err(|_| VaultError::NoObject(key.to_owned()))?;
    match object.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(VaultError::KeyIsNoText(key.to_owned())),
        None => Err(VaultError::NoKey(key.to_owned())),
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let inside = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let inside = inside.ok_or(ReferenceError::Shape)?;
        let (inside, version) = cut(inside, '#');
        let (inside, query) = cut(inside, '?');
        let (vault, path) = inside.split_once('/').ok_or(ReferenceError::NoResource)?;
        if vault.is_empty() {
            return Err(ReferenceError::Shape);
        }
        let (resource, key) = steps(path)?;
        Ok(Self {
            vault: unescaped(vault)?,
            resource,
            key,
            options: options(query.unwrap_or_default())?,
            version: version.map(number).transpose()?,
        })
    }
}

/// The last step is the key, unless it is the only one, or a slash follows it.
fn steps(path: &str) -> Result<(String, Option<String>), ReferenceError> {
    let steps: Vec<_> = path.split('/').filter(|step| !step.is_empty()).collect();
    let (key, resource) = match steps.split_last() {
        None => return Err(ReferenceError::NoResource),
        Some((key, resource)) if !resource.is_empty() && !path.ends_with('/') => {
            (Some(unescaped(key)?), resource)
        }
        Some(_) => (None, steps.as_slice()),
    };
    Ok((unescaped(&resource.join("/"))?, key))
}

fn options(query: &str) -> Result<BTreeMap<String, String>, ReferenceError> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((unescaped(name)?, unescaped(&value.replace('+', " "))?))
        })
        .collect()
}

fn number(version: &str) -> Result<u32, ReferenceError> {
    version.parse().map_err(|_| ReferenceError::Version(version.to_owned()))
}

fn unescaped(text: &str) -> Result<String, ReferenceError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| ReferenceError::Escape(text.to_owned()))
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_is_too_odd(inside in "\\PC{0,30}|[a-z/%?#&=0-9]{0,30}") {
            let text = format!("{{vault://{inside}}}");
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert!(!reference.vault.is_empty());
                let _ = (reference.variable("x"), reference.resolve(&Echo));
            }
        }
    }

    /// Has one secret under every name: the name in brackets, unless it is JSON.
    struct Echo;

    impl Vaults for Echo {
        fn fetch(&self, reference: &Reference) -> Result<String, VaultError> {
            match reference.resource.as_str() {
                "object" => Ok(r#"{"user":"u","n":1,"in":{"x":"y"}}"#.to_owned()),
                "list" => Ok("[1]".to_owned()),
                name => Ok(format!("<{name}>")),
            }
        }
    }

    #[track_caller]
    fn resolves(text: &str, expected: Result<&str, &str>) {
        let resolved = text.parse::<Reference>().map_err(VaultError::from);
        let resolved = resolved.and_then(|reference| reference.resolve(&Echo));
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(resolved.map_err(|error| error.to_string()), expected, "{text}");
    }

    #[test]
    fn a_reference_names_a_resource_and_perhaps_a_key_in_it() {
        resolves("{vault://env/secret}", Ok("<secret>"));
        resolves("{vault://env/a%20b}", Ok("<a b>"));
        resolves("{vault://env/object/user}", Ok("u"));
        resolves("{vault://env/folder/object/}", Ok("<folder/object>"));
        resolves("{vault://env/object/pass}", Err("the secret has no key `pass`"));
        resolves(
            "{vault://env/object/n}",
            Err("what the secret has under the key `n` is not text"),
        );
        for object in ["list", "plain"] {
            resolves(
                &format!("{{vault://env/{object}/k}}"),
                Err("the secret is not a JSON object, so it has no key `k`"),
            );
        }
    }

    #[test]
    fn what_is_not_a_reference_says_what_one_is() {
        const SHAPE: &str = "a reference is {vault://<vault>/<resource>[/<key>]}";
        const NOTHING: &str = "it names no resource: {vault://<vault>/<resource>[/<key>]}";
        for text in ["", "env/secret", "{vault://env/secret", "{vault:///x}", "{vaults://env/x}"] {
            resolves(text, Err(SHAPE));
        }
        for text in ["{vault://env}", "{vault://env/}", "{vault://env//}", "{vault://env?a=b}"] {
            resolves(text, Err(NOTHING));
        }
        resolves("{vault://env/x#new}", Err("its version, `new`, is not a number"));
        resolves("{vault://env/x#}", Err("its version, ``, is not a number"));
        resolves("{vault://env/%ff}", Err("`%ff` is not text"));
    }

    #[test]
    fn environment_variables_are_in_capitals() {
        for (reference, variable) in [
            ("{vault://env/db-password}", "DB_PASSWORD"),
            ("{vault://env/db-password/key}", "DB_PASSWORD"),
            ("{vault://env/x?prefix=my-}", "MY_X"),
            ("{vault://env/x?prefix=}", "X"),
            ("{vault://env/x#2}", "APP_X_PREVIOUS"),
            ("{vault://env/x#1}", "APP_X"),
            ("{vault://env/x?prefix=a_#2}", "A_X_PREVIOUS"),
        ] {
            let parsed: Reference = reference.parse().unwrap();
            let prefix = if reference.contains('#') { "app-" } else { "" };
            assert_eq!(parsed.variable(prefix), variable, "{reference}");
        }
    }
}
