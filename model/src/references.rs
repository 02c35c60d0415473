//! Does everything pointed at exist, is every name free, and what hangs on an
//! entity that is to be deleted. Answers come from a [`Config`] alone, so they
//! hold for the exact revision a write is checked against.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::entities::Visit;
use crate::entity::foreign_keys;
use crate::schema::{Kind, OnDelete, Part};
use crate::{Config, Entity, EntityKind, Id};

/// A field that points at nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dangling {
    /// The field, such as `service`.
    pub field: &'static str,
    /// The table it points into.
    pub table: &'static str,
    /// The id that is not there.
    pub id: Uuid,
}

/// What must be unique, and another entity has.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The unique field, such as `name`, and the value both want; or all fields that are unique
    /// together, by name, as JSON has them.
    pub fields: Vec<(&'static str, Value)>,
    /// Who has it.
    pub by: Uuid,
}

/// Entities of this kind still point at what is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restricted {
    /// The kind that points.
    pub by: EntityKind,
}

/// The fields of `entity` that point at something `config` does not have, in
/// field order.
pub fn dangling<E: Entity>(config: &Config, entity: &E) -> Vec<Dangling> {
    let mut found = Vec::new();
    entity.visit_references(&mut |field, id| {
        let table = E::SCHEMA.field(field).map_or("", |field| match field.kind {
            Kind::Foreign { entity } => entity,
            _ => "",
        });
        // A table we do not have holds nothing.
        let exists = EntityKind::from_name(table).is_some_and(|kind| exists(config, kind, id));
        if !exists {
            found.push(Dangling { field, table, id });
        }
    });
    found
}

/// The first unique value of `entity` that another one has, in field order; if there is none, what it
/// has together that another one has.
pub fn taken<E: Entity>(config: &Config, entity: &E) -> Option<Taken> {
    let mut found = None;
    entity.visit_unique(&mut |field, value| {
        let holder = config.all::<E>().by_unique(field, value).map(|holder| holder.id());
        if let (None, Some(by)) = (&found, holder.filter(|by| *by != entity.id())) {
            found = Some(Taken { fields: vec![(field, value.into())], by: by.uuid() });
        }
    });
    found.or_else(|| {
        let by = config.all::<E>().by_key(entity).filter(|by| by.id() != entity.id())?;
        Some(Taken { fields: key(entity), by: by.id().uuid() })
    })
}

/// The fields of an entity's key by name, as JSON has them.
fn key<E: Entity>(entity: &E) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    entity.visit_key(&mut |field, part| {
        let value = match part {
            Part::Text(text) => text.into(),
            Part::Id(id) => json!({ "id": id }),
            Part::Unset => Value::Null,
        };
        fields.push((field, value));
    });
    fields.sort_by_key(|(name, _)| *name);
    fields
}

/// What deleting this entity deletes: itself last, what cascades before it.
///
/// # Errors
/// If an entity that must not lose what it points at still points at any of them.
pub fn deletion(
    config: &Config,
    kind: EntityKind,
    id: Uuid,
) -> Result<Vec<(EntityKind, Uuid)>, Restricted> {
    let mut doomed = Vec::new();
    collect(config, kind, id, &mut doomed)?;
    Ok(doomed)
}

fn collect(
    config: &Config,
    kind: EntityKind,
    id: Uuid,
    doomed: &mut Vec<(EntityKind, Uuid)>,
) -> Result<(), Restricted> {
    for &pointing in EntityKind::ALL {
        for key in foreign_keys(pointing.schema().fields).filter(|key| key.target == kind) {
            let pointers = pointing.visit(Pointers { config, field: key.field, target: id });
            match key.on_delete {
                OnDelete::Restrict if !pointers.is_empty() => {
                    return Err(Restricted { by: pointing });
                }
                OnDelete::Restrict => {}
                OnDelete::Cascade => {
                    for pointer in pointers {
                        collect(config, pointing, pointer, doomed)?;
                    }
                }
            }
        }
    }
    // Two ways may lead to the same entity.
    if !doomed.contains(&(kind, id)) {
        doomed.push((kind, id));
    }
    Ok(())
}

struct Pointers<'a> {
    config: &'a Config,
    field: &'static str,
    target: Uuid,
}

impl Visit for Pointers<'_> {
    type Output = Vec<Uuid>;

    fn visit<E: Entity>(self) -> Vec<Uuid> {
        let table = self.config.all::<E>();
        table.pointing_at(self.field, self.target, None).map(|e| e.id().uuid()).collect()
    }
}

/// Whether `config` has an entity of this kind with this id.
pub fn exists(config: &Config, kind: EntityKind, id: Uuid) -> bool {
    struct Exists<'a>(&'a Config, Uuid);
    impl Visit for Exists<'_> {
        type Output = bool;
        fn visit<E: Entity>(self) -> bool {
            self.0.get::<E>(Id::from(self.1)).is_some()
        }
    }
    kind.visit(Exists(config, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::{Route, Service};
    use crate::testing::{route, service};

    #[test]
    fn a_route_needs_its_service() {
        let orders = service("orders").build();
        let users = route("users").path("/users").to(&orders).build();
        let mut config = Config::default();
        let id = orders.id.uuid();
        assert_eq!(
            dangling(&config, &users),
            [Dangling { field: "service", table: "services", id }]
        );
        config.write(orders);
        assert_eq!(dangling(&config, &users), []);
    }

    #[test]
    fn a_name_is_free_for_its_holder_only() {
        let orders = service("orders").build();
        let twin = service("orders").build();
        let mut config = Config::default();
        config.write(orders.clone());
        assert_eq!(taken(&config, &orders), None);
        let by = orders.id.uuid();
        let expected = Taken { fields: vec![("name", "orders".into())], by };
        assert_eq!(taken(&config, &twin), Some(expected));
    }

    #[test]
    fn a_service_with_routes_stays() {
        let orders = service("orders").build();
        let users = route("users").path("/users").to(&orders).build();
        let mut config = Config::default();
        config.write(orders.clone());
        config.write(users.clone());
        assert_eq!(
            deletion(&config, EntityKind::Service, orders.id.uuid()),
            Err(Restricted { by: EntityKind::Route })
        );
        config.remove::<Route>(users.id);
        assert_eq!(
            deletion(&config, EntityKind::Service, orders.id.uuid()),
            Ok(vec![(EntityKind::Service, orders.id.uuid())])
        );
        assert!(config.get::<Service>(orders.id).is_some());
    }
}
