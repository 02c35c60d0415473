//! The list of entities: one line per entity, after whatever it refers to.
//!
//! Everything that must know every entity visits this list; nothing else
//! enumerates them.

mod certificate;
mod ca_certificate;
mod service;
mod route;
mod sni;
mod consumer;
mod credential;
mod upstream;
mod target;
mod vault;
mod key_set;
mod key;
mod plugin;

pub use ca_certificate::CaCertificate;
pub use certificate::Certificate;
pub use consumer::Consumer;
pub use credential::{Acl, BasicAuth, HmacAuth, JwtSecret, KeyAuth, OAuth2};
pub use key::{Key, Pem};
pub use key_set::KeySet;
pub use plugin::{Plugin, PluginConfig};
pub use route::{HIGHEST_PRIORITY, Route};
pub use service::Service;
pub use sni::Sni;
pub use target::Target;
pub use upstream::{
    Active, ActiveHealthy, ActiveUnhealthy, Healthchecks, Passive, PassiveHealthy,
    PassiveUnhealthy, Upstream,
};
pub use vault::{Vault, VaultConfig};

use crate::config::Table;
use crate::entity::{Entity, Listed};
use crate::schema::{Record, Schema};
use crate::{Config, Id};

/// Something to do with one kind of entity, chosen at run time.
pub trait Visit {
    /// What comes back.
    type Output;

    /// Called with the type that belongs to the kind.
    fn visit<E: Entity>(self) -> Self::Output;
}

macro_rules! entities {
    ($($table:ident : $entity:ident),* $(,)?) => {
        /// Which kind of entity. The order is that of dependency: a kind comes
        /// after every kind it refers to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntityKind {
            $(
                #[doc = concat!("`", stringify!($table), "`")]
                $entity
            ),*
        }

        impl EntityKind {
            /// Every kind, in dependency order.
            pub const ALL: &'static [EntityKind] = &[$(EntityKind::$entity),*];

            /// The name of the table, the URL and the hash: `services`.
            pub const fn name(self) -> &'static str {
                match self { $(EntityKind::$entity => stringify!($table)),* }
            }

            /// How URLs call all of them.
            pub const fn path(self) -> &'static str {
                match self { $(EntityKind::$entity => <$entity as Entity>::PATH),* }
            }

            /// How URLs call those of a parent.
            pub const fn nested(self) -> &'static str {
                match self { $(EntityKind::$entity => <$entity as Entity>::NESTED),* }
            }

            /// Whether they have URLs of their own.
            pub const fn is_top_level(self) -> bool {
                match self { $(EntityKind::$entity => <$entity as Entity>::IS_TOP_LEVEL),* }
            }

            /// The schema of this kind.
            pub fn schema(self) -> &'static Schema {
                match self { $(EntityKind::$entity => <$entity as Record>::SCHEMA),* }
            }

            /// Runs a visitor with this kind's type.
            pub fn visit<V: Visit>(self, visitor: V) -> V::Output {
                match self { $(EntityKind::$entity => visitor.visit::<$entity>()),* }
            }
        }

        /// The tables of a [`Config`], one per entity.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Tables {
            $( $table: Table<$entity> ),*
        }

        $(
            impl Listed for $entity {
                const KIND: EntityKind = EntityKind::$entity;

                fn id(&self) -> Id<Self> {
                    self.id
                }

                fn table(config: &Config) -> &Table<Self> {
                    &config.tables.$table
                }

                fn table_mut(config: &mut Config) -> &mut Table<Self> {
                    &mut config.tables.$table
                }
            }
        )*
    };
}

entities! {
    certificates: Certificate,
    ca_certificates: CaCertificate,
    services: Service,
    routes: Route,
    snis: Sni,
    consumers: Consumer,
    upstreams: Upstream,
    targets: Target,
    vaults: Vault,
    key_sets: KeySet,
    keys: Key,
    keyauth_credentials: KeyAuth,
    basicauth_credentials: BasicAuth,
    hmacauth_credentials: HmacAuth,
    jwt_secrets: JwtSecret,
    acls: Acl,
    oauth2_credentials: OAuth2,
    plugins: Plugin,
}

impl EntityKind {
    /// The kind with this table name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for EntityKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
