//! A vault: where secrets are that the configuration only names.

use serde_json::Value;

use crate::schema::{Object, Record};
use crate::value::{EnvPrefix, Tags, Timestamp, VaultPrefix, VaultType};
use crate::violation::Violations;
use crate::{Entity, Id, Terms};

/// Where `{vault://prefix/name}` is looked up.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "vaults", key = ["prefix"], prepare = prepare)]
pub struct Vault {
    /// Identifies the vault.
    #[field(auto)]
    pub id: Id<Vault>,
    /// What references call it; stands for the id in URLs.
    #[field(unique)]
    pub prefix: VaultPrefix,
    /// What sort of vault it is.
    pub name: VaultType,
    /// What it is for.
    pub description: Option<String>,
    /// How it is looked into.
    pub config: VaultConfig,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// Labels to list vaults by.
    pub tags: Option<Tags>,
}

/// How the environment is looked into.
#[derive(Clone, Debug, PartialEq, Record)]
pub struct VaultConfig {
    /// What the names of the variables begin with.
    pub prefix: Option<EnvPrefix>,
}

/// Of a type that is not there nothing else can be said.
fn prepare(vault: &mut Object, _: Terms) -> Result<(), Violations> {
    let name = vault.get("name").and_then(Value::as_str);
    let missing = name.filter(|name| VaultType::ALL.iter().all(|known| known.as_str() != *name));
    let message = missing.map(|name| format!("vault '{name}' is not installed"));
    message.map_or(Ok(()), |message| Err(Violations::field("name", message)))
}

impl Entity for Vault {
    const ENDPOINT_KEY: Option<&'static str> = Some("prefix");
}
