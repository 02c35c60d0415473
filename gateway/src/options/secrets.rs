//! Values that are references to vaults: what they lead to, or why they lead nowhere.
//!
//! They are followed before anything is read, so that whoever reads a property does not know the
//! difference. What was found is used and never told: what is shown, saved and compared is the reference.

use std::collections::{BTreeMap, BTreeSet};

use model::vault::{Reference, ReferenceError, VaultError, Vaults};

use super::reader::items;
use crate::conf::Settings;
use crate::properties::{self, Kind, Standing};
use crate::vault::NodeVaults;

/// What the vaults are found by: it cannot be in one.
const OURS: [&str; 2] = ["vaults", "vault_env_prefix"];

const BEGIN: &str = "{vault://";

/// What there is to know of the references in some settings.
#[derive(Default)]
pub(super) struct Secrets {
    values: BTreeMap<String, String>,
    /// Properties whose references lead nowhere, and why.
    failures: Vec<(String, String)>,
}

impl Secrets {
    /// Follows every reference in a property that has an effect.
    pub(super) fn of(settings: &Settings) -> Self {
        let vaults = vaults_of(settings);
        let mut secrets = Self::default();
        for (name, setting) in settings.iter().filter(|(name, _)| has_effect(name)) {
            match followed(name, &setting.text, &vaults) {
                Ok(None) => {}
                Ok(Some(value)) => drop(secrets.values.insert(name.to_owned(), value)),
                Err(why) => secrets.failures.push((name.to_owned(), why)),
            }
        }
        secrets
    }

    /// What the references in this property lead to, if it has any.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether this property has references that lead nowhere.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.failures.iter().any(|(failed, _)| failed == name)
    }

    /// Those that have, and why.
    pub(super) fn failures(&self) -> &[(String, String)] {
        &self.failures
    }

    /// What is wrong with a property, in words that tell nothing of a secret in it.
    pub(super) fn discreet(&self, name: &str, what: String) -> String {
        let tells = |value: &str| {
            let word = |text: &str| -> BTreeSet<String> {
                let words = text.split(|c: char| !c.is_alphanumeric());
                words.filter(|word| word.len() > 2).map(str::to_lowercase).collect()
            };
            !word(value).is_disjoint(&word(&what)) || what.contains(value)
        };
        match self.get(name) {
            Some(value) if tells(value) => {
                "what the vault has for it is not what it takes".to_owned()
            }
            _ => what,
        }
    }
}

/// The vaults of the node that these settings are of, whatever else they say.
pub fn vaults_of(settings: &Settings) -> NodeVaults<'_> {
    let text = |name| settings.get(name).map_or("", |setting| setting.text.as_str());
    NodeVaults {
        environment: &settings.environment,
        prefix: Some(text("vault_env_prefix"))
            .filter(|text| !text.starts_with(BEGIN))
            .unwrap_or(""),
        is_on: items(text("vaults")).first() != Some(&"off"),
    }
}

fn has_effect(name: &str) -> bool {
    matches!(
        properties::standing(name),
        Some(Standing::Effective | Standing::Mapped(_) | Standing::Only(..))
    )
}

/// The value with references followed, if it has any: it is one, or items of a list are.
fn followed(name: &str, text: &str, vaults: &dyn Vaults) -> Result<Option<String>, String> {
    if !text.contains(BEGIN) {
        return Ok(None);
    }
    if OURS.contains(&name) {
        return Err("a vault is found by it, so that it cannot be in one".to_owned());
    }
    let is_text = properties::find(name).is_some_and(|property| property.kind == Kind::Secret);
    if is_text && !text.starts_with(BEGIN) {
        return Ok(None); // a password or a document, with what looks like a reference somewhere inside
    }
    let mut failures = Vec::new();
    let mut values = Vec::new();
    for item in if is_text { vec![text] } else { items(text) } {
        match value_of(item, vaults) {
            Ok(value) => values.push(value),
            Err(why) => failures.push(why),
        }
    }
    if failures.is_empty() { Ok(Some(values.join(","))) } else { Err(failures.join("; ")) }
}

fn value_of(item: &str, vaults: &dyn Vaults) -> Result<String, String> {
    if !item.contains(BEGIN) {
        return Ok(item.to_owned());
    }
    if !item.starts_with(BEGIN) {
        return Err("a reference is a whole value, or a whole item of a list".to_owned());
    }
    let found = item.parse::<Reference>().map_err(VaultError::from);
    match found.and_then(|reference| reference.resolve(vaults)) {
        Ok(value) if value.is_empty() => Err(format!("{item}: the secret is empty")),
        Ok(value) => Ok(value),
        Err(VaultError::Reference(ReferenceError::Shape)) if !item.ends_with('}') => Err(format!(
            "{item}: {}, and `#` begins a comment unless it is written `\\#`",
            ReferenceError::Shape
        )),
        Err(why) => Err(format!("{item}: {why}")),
    }
}

impl super::Reader<'_> {
    /// Notes names that are not of vaults there are. A node whose secrets are elsewhere would do without.
    pub(super) fn check_vaults(&mut self) {
        let known = |item: &&str| ["bundled", "off", crate::vault::ENV].contains(item);
        for item in self.list("vaults").into_iter().filter(|item| !known(item)) {
            self.wrong("vaults", format!("vault `{item}` is not installed; there is `env`"));
        }
        // Read when references were followed.
        let _ = self.text("vault_env_prefix");
    }
}
