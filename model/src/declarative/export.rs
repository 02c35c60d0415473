//! A configuration as a document: what `GET /config` shows.
//!
//! Flat sections in dependency order, pointers as ids, nulls kept: loaded
//! again, it is the same configuration but for `updated_at`, whatever the
//! defaults are by then.

use serde_json::{Value, json};

use crate::entities::Visit;
use crate::entity::foreign_keys;
use crate::{Config, Entity, EntityKind};

/// The configuration as YAML.
pub fn export(config: &Config) -> String {
    let mut text = "_format_version: '3.0'\n_transform: false\n".to_owned();
    for &kind in EntityKind::ALL {
        let entities = kind.visit(Section(config));
        if !entities.is_empty() {
            let section = json!({ kind.name(): entities });
            let yaml = serde_saphyr::to_string(&section);
            text.push_str(&yaml.expect("plain values can be written to memory"));
        }
    }
    text
}

/// The entities of one kind, as they stand in a document.
struct Section<'a>(&'a Config);

impl Visit for Section<'_> {
    type Output = Vec<Value>;

    fn visit<E: Entity>(self) -> Vec<Value> {
        self.0.all::<E>().iter().map(flat).collect()
    }
}

fn flat<E: Entity>(entity: &E) -> Value {
    let mut shown = serde_json::to_value(entity).expect("a record is an object of plain values");
    for key in foreign_keys(E::SCHEMA.fields) {
        let pointer = &mut shown[key.field];
        *pointer = pointer["id"].take();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declarative::parse;
    use crate::testing::{route, service};
    use crate::value::Timestamp;

    #[test]
    fn what_is_exported_is_the_same_when_loaded() {
        let mut config = Config::default();
        let orders = service("orders").build();
        config.write(orders.clone());
        config.write(route("users").path("/users: yes").to(&orders).build());
        config.write(route("12").path("/#").build());
        let text = export(&config);
        let again = parse(&text, Timestamp::from_seconds(1)).expect("a configuration").config;
        assert_eq!(again.hash(), config.hash(), "{text}");
    }
}
