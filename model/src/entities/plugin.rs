//! A plugin: something to be done with requests, and with which of them.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::catalog::PluginType;
use crate::entities::{Consumer, Route, Service};
use crate::schema::{Check, Kind, Object, Record, Typed};
use crate::value::{Name, Protocol, Reference, Set, Tags, Timestamp};
use crate::violation::{Violation, Violations};
use crate::{Config, Entity, Id, Terms};

/// Something that is done with requests: with all of them, or with those of a route, a service or a consumer.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(
    name = "plugins",
    key = ["name", "route", "service", "consumer"],
    prepare = prepare,
    checks = &[Check::InTerms(check_type)],
)]
pub struct Plugin {
    /// Identifies the plugin.
    #[field(auto)]
    pub id: Id<Plugin>,
    /// What type of plugin it is.
    pub name: String,
    /// What it is called; stands for the id in URLs.
    #[field(unique)]
    pub instance_name: Option<Name>,
    /// When it was created, in seconds since 1970.
    #[field(auto)]
    pub created_at: Timestamp,
    /// When it was last changed, in seconds since 1970.
    #[field(auto)]
    pub updated_at: Timestamp,
    /// The route whose requests it is for; null for those of any.
    #[field(on_delete = "cascade")]
    pub route: Option<Reference<Route>>,
    /// The service whose requests it is for; null for those to any.
    #[field(on_delete = "cascade")]
    pub service: Option<Reference<Service>>,
    /// The consumer whose requests it is for; null for those of anybody.
    #[field(on_delete = "cascade")]
    pub consumer: Option<Reference<Consumer>>,
    /// What it does in particular: what there is to say depends on its type.
    pub config: PluginConfig,
    /// The protocols it is for.
    #[field(default = ["grpc", "grpcs", "http", "https"])]
    pub protocols: Set<Protocol>,
    /// Whether it does anything.
    #[field(default = true)]
    pub enabled: bool,
    /// Labels to list plugins by.
    pub tags: Option<Tags>,
}

/// What a plugin does in particular: all fields that its type declares, each with its value or null.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct PluginConfig(Object);

impl PluginConfig {
    /// The same as what its type says it is. Fields that were not there yet when it was written take
    /// their defaults.
    ///
    /// # Errors
    /// If it is not what it was checked as: another version has written it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(Value::Object(self.0.clone()))
    }
}

impl Deref for PluginConfig {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

impl From<Object> for PluginConfig {
    fn from(fields: Object) -> Self {
        Self(fields)
    }
}

/// By name at every depth, so that equal ones have equal bytes.
impl Serialize for PluginConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Sorted::Members(&self.0).serialize(serializer)
    }
}

/// JSON whose objects are written in the order of their names, whatever order they are kept in.
enum Sorted<'a> {
    Members(&'a Object),
    Value(&'a Value),
}

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = match *self {
            Sorted::Members(members) | Sorted::Value(Value::Object(members)) => members,
            Sorted::Value(Value::Array(values)) => {
                return serializer.collect_seq(values.iter().map(Sorted::Value));
            }
            Sorted::Value(value) => return value.serialize(serializer),
        };
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by_key(|(name, _)| *name);
        let mut map = serializer.serialize_map(Some(sorted.len()))?;
        for (name, value) in sorted {
            map.serialize_entry(name, &Sorted::Value(value))?;
        }
        map.end()
    }
}

impl Typed for PluginConfig {
    const KIND: Kind = Kind::OfType { by: "name" };
}

/// Without a type there is nothing to be said of the rest.
fn prepare(plugin: &mut Object, terms: Terms) -> Result<(), Violations> {
    let refuse = |message: &str| Err(Violations::field("name", message));
    let of_type = match plugin.get("name") {
        None | Some(Value::Null) => return refuse("required field missing"),
        Some(Value::String(name)) => match terms.catalog.get(name) {
            Some(of_type) => of_type,
            None => return refuse(&not_enabled(name)),
        },
        Some(_) => return refuse("expected a string"),
    };
    if !plugin.contains_key("protocols") {
        let words = of_type.protocols.iter().map(|protocol| protocol.as_str());
        plugin.insert("protocols".to_owned(), words.collect());
    }
    Ok(())
}

fn not_enabled(name: &str) -> String {
    format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property")
}

/// What only some types can do.
fn check_type(plugin: &Object, terms: Terms, found: &mut Violations) {
    let name = plugin.get("name").and_then(Value::as_str);
    let Some(of_type) = name.and_then(|name| terms.catalog.get(name)) else { return };
    for field in of_type.forbids {
        if plugin.get(*field).is_some_and(|value| !value.is_null()) {
            found.set(*field, "value must be null");
        }
    }
    if let Some(violation) = check_protocols(plugin, of_type) {
        found.set("protocols", violation);
    }
}

fn check_protocols(plugin: &Object, of_type: &PluginType) -> Option<Violation> {
    let known: Vec<&str> = of_type.protocols.iter().map(|protocol| protocol.as_str()).collect();
    let words: Vec<_> = plugin.get("protocols")?.as_array()?.iter().map(Value::as_str).collect();
    // What is no text at all, is told already.
    if words.contains(&None) {
        return None;
    }
    let refused = |word: &str| {
        let is_known = known.contains(&word);
        (!is_known).then(|| format!("expected one of: {}", known.join(", ")).into())
    };
    Violation::list(words.into_iter().flatten().map(refused))
}

impl Plugin {
    /// Whether it is for any of these protocols.
    fn is_for(&self, protocols: &Set<Protocol>) -> bool {
        self.protocols.iter().any(|protocol| protocols.contains(protocol))
    }

    /// Whether a route to this service is for one of its protocols, if there is a route at all.
    fn is_for_routes_of(&self, config: &Config, service: Id<Service>) -> bool {
        let mut routes =
            config.all::<Route>().pointing_at("service", service.uuid(), None).peekable();
        routes.peek().is_none() || routes.any(|route| self.is_for(&route.protocols))
    }
}

impl Entity for Plugin {
    const ENDPOINT_KEY: Option<&'static str> = Some("instance_name");

    /// What is for no protocol that its requests come by would never do anything.
    fn misfit(&self, config: &Config) -> Violations {
        let route = self.route.as_ref().and_then(|route| config.get(route.id));
        let message = match (route, &self.service) {
            (Some(route), _) if !self.is_for(&route.protocols) => {
                "must match the associated route's protocols"
            }
            (None, Some(service)) if !self.is_for_routes_of(config, service.id) => {
                "must match the protocols of at least one route pointing to this Plugin's service"
            }
            _ => return Violations::default(),
        };
        Violations::field("protocols", message)
    }
}
