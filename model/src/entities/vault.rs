//! A vault: where secrets are that the configuration only names.

use crate::schema::Record;
use crate::value::{EnvPrefix, Tags, Timestamp, VaultPrefix, VaultType};
use crate::{Entity, Id};

/// Where `{vault://prefix/name}` is looked up.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(name = "vaults", key = ["prefix"])]
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

impl Entity for Vault {
    const ENDPOINT_KEY: Option<&'static str> = Some("prefix");
}
