//! What is done with requests besides sending them on.
//!
//! A plugin is a file: what it is told ([`Plugin::Config`]) and the hooks by which it takes part in a
//! request. Those that a request meets were put in order when its route was compiled
//! ([`chain`]); one that joins no phase costs nothing there.

pub(crate) mod chain; // which plugins a request meets, and in which order
mod redirect;

use crate::proxy::access::Flow;
use crate::proxy::exchange::Exchange;
use chain::Step;
use model::Catalog;
use model::catalog::PluginType;
use model::entities::{Plugin as Entity, PluginConfig};
use model::schema::Record;
use model::value::Protocol;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;

/// How a plugin is built. What it does is in the hooks it returns.
pub(crate) trait Plugin: Sized + Send + Sync + 'static {
    /// What operators call it.
    const NAME: &'static str;

    /// Which go first: those with the higher priority, and of equals the one whose name comes first.
    const PRIORITY: i32;

    /// What it can be for, and is for unless told otherwise.
    const PROTOCOLS: &'static [Protocol] = HTTP;

    /// The foreign keys it has no use for.
    const FORBIDS: &'static [&'static str] = &[];

    /// What it is told.
    type Config: Record + DeserializeOwned;

    /// Takes what it was told as far apart as can be done once.
    ///
    /// # Errors
    /// If it cannot do what it is told.
    fn new(config: Self::Config) -> Result<Self, ConfigError>;

    /// The phases it takes part in.
    fn hooks(self) -> Hooks;
}

/// All of HTTP.
const HTTP: &[Protocol] = &[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https];

/// The version that clients of the Admin API are told of all types.
const VERSION: &str = model::COMPAT;

/// Why a plugin cannot do what it is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It was written by a node whose plugin of this name is another.
    #[error("its configuration cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),

    /// A field says what cannot be done.
    #[error("{message}")]
    Field {
        /// Which, from the root of the plugin.
        field: &'static str,
        /// Why not.
        message: String,
    },
}

impl ConfigError {
    /// The field to blame.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            ConfigError::Unreadable(_) => "config",
            ConfigError::Field { field, .. } => field,
        }
    }
}

/// The phases a plugin takes part in.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    /// Before the request goes upstream.
    access: Option<Arc<dyn Access>>,
}

impl Hooks {
    fn access(hook: impl Access + 'static) -> Hooks {
        Hooks { access: Some(Arc::new(hook)) }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("access", &self.access.is_some()).finish()
    }
}

/// Takes part before the request goes upstream.
pub(crate) trait Access: Send + Sync {
    /// Looks at the request and edits it, or answers it.
    fn access(&self, exchange: &mut Exchange) -> Flow;
}

/// A type, and how plugins of it are built.
struct Registered {
    kind: PluginType,
    build: fn(&PluginConfig) -> Result<Hooks, ConfigError>,
}

const fn kind_of<P: Plugin>() -> PluginType {
    PluginType {
        name: P::NAME,
        version: VERSION,
        priority: P::PRIORITY,
        config: P::Config::SCHEMA,
        protocols: P::PROTOCOLS,
        forbids: P::FORBIDS,
    }
}

fn build<P: Plugin>(config: &PluginConfig) -> Result<Hooks, ConfigError> {
    Ok(P::new(config.read()?)?.hooks())
}

/// Every type there is, once as what is known of it and once as how it is built.
macro_rules! registry {
    ($($plugin:ty),* $(,)?) => {
        static TYPES: &[PluginType] = &[$(kind_of::<$plugin>()),*];
        static REGISTRY: &[Registered] =
            &[$(Registered { kind: kind_of::<$plugin>(), build: build::<$plugin> }),*];
    };
}

registry! {
    redirect::Redirect,
}

/// The types of plugins there are.
pub(crate) fn catalog() -> Catalog {
    Catalog::of(TYPES)
}

/// What a plugin does. None if there is no such type.
pub(crate) fn compile(plugin: &Entity) -> Option<Result<Step, ConfigError>> {
    let Registered { kind, build } =
        REGISTRY.iter().find(|known| known.kind.name == plugin.name)?;
    let (id, name, priority) = (plugin.id, kind.name, kind.priority);
    Some(build(&plugin.config).map(|hooks| Step { id, name, priority, hooks }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing decides between two of the same place but their names, and Kong has given each its own.
    #[test]
    fn every_type_has_a_place_of_its_own() {
        let mut order: Vec<_> = TYPES.iter().map(|kind| (kind.priority, kind.name)).collect();
        order.sort_unstable_by_key(|(priority, name)| (std::cmp::Reverse(*priority), *name));
        assert_eq!(order, [(779, "redirect")]);
        let mut names: Vec<_> = TYPES.iter().map(|kind| kind.name).collect();
        names.dedup();
        assert_eq!(names.len(), TYPES.len());
    }
}
