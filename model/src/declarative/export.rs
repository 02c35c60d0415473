//! A configuration as a document: what `GET /config` shows.
//!
//! Flat sections in dependency order, pointers as ids, nulls kept: loaded
//! again, it is the same configuration but for `updated_at`, whatever the
//! defaults are by then.

use serde_json::{Value, json};

use crate::entities::Visit;
use crate::entity::foreign_keys;
use crate::schema::to_object;
use crate::{Config, Entity, EntityKind, Terms};

/// The configuration as YAML, as a node with these terms shows it.
pub fn export(config: &Config, terms: Terms) -> String {
    let mut text = "_format_version: '3.0'\n_transform: false\n".to_owned();
    for &kind in EntityKind::ALL {
        let entities = kind.visit(Section(config, terms));
        if !entities.is_empty() {
            let section = json!({ kind.name(): entities });
            let yaml = serde_saphyr::to_string(&section);
            text.push_str(&yaml.expect("plain values can be written to memory"));
        }
    }
    text
}

/// The entities of one kind, as they stand in a document.
struct Section<'a>(&'a Config, Terms);

impl Visit for Section<'_> {
    type Output = Vec<Value>;

    fn visit<E: Entity>(self) -> Vec<Value> {
        self.0.all::<E>().iter().map(|entity| flat(entity, self.1)).collect()
    }
}

fn flat<E: Entity>(entity: &E, terms: Terms) -> Value {
    let mut shown = Value::Object(to_object(entity, terms));
    for key in foreign_keys(E::SCHEMA.fields) {
        let pointer = &mut shown[key.field];
        *pointer = pointer["id"].take();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flavor;
    use crate::declarative::parse;
    use crate::encode::ContentHash;
    use crate::testing::{route, service};
    use crate::value::Timestamp;

    #[test]
    fn what_is_exported_is_the_same_when_loaded() {
        let mut config = Config::default();
        let orders = service("orders").build();
        config.write(orders.clone());
        config.write(route("users").path("/users: yes").to(&orders).build());
        config.write(route("12").path("/#").build());
        let text = export(&config, Terms::default());
        assert_eq!(reloaded(&text, Terms::default()), config.hash(), "{text}");

        config.write(route("v2").with("expression", r#"http.path == "/v2""#).build());
        let text = export(&config, Flavor::Expressions.into());
        assert_eq!(reloaded(&text, Flavor::Expressions.into()), config.hash(), "{text}");
    }

    fn reloaded(text: &str, terms: Terms) -> ContentHash {
        let document = parse(text, Timestamp::from_seconds(1), terms);
        document.expect("a configuration").config.hash()
    }
}
