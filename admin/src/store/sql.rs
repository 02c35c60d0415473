//! Statement text for the tables of entities, built from their schemas.
//!
//! Names of tables and columns come from declarations, never from input.

use model::entities::Visit;
use model::entity::foreign_keys;
use model::{Config, Entity, EntityKind, Id};
use uuid::Uuid;

/// What is done to the table of one kind.
#[derive(Debug)]
pub(super) struct Statements {
    /// All rows: id and bytes.
    pub(super) load: String,
    /// Writes a row: id, the columns in their order, bytes.
    pub(super) put: String,
    /// Removes a row by its id.
    pub(super) delete: String,
    columns: Vec<&'static str>,
}

/// The value of a column beside id and bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// Of a unique field.
    Text(String),
    /// Of a reference.
    Id(Uuid),
    /// Of either, where it is not set.
    Null,
}

impl Statements {
    pub(super) fn of(kind: EntityKind) -> Self {
        let (table, columns) = (kind.name(), columns(kind));
        let names: String = columns.iter().map(|column| format!(", \"{column}\"")).collect();
        let marks: String = (0..=columns.len()).map(|n| format!(", ${}", n + 2)).collect();
        let updates: String = columns
            .iter()
            .map(|column| format!("\"{column}\" = excluded.\"{column}\", "))
            .collect();
        Self {
            load: format!("select id, bytes from {table}"),
            put: format!(
                "insert into {table} (id{names}, bytes) values ($1{marks}) \
                 on conflict (id) do update set {updates}bytes = excluded.bytes"
            ),
            delete: format!("delete from {table} where id = $1"),
            columns,
        }
    }

    /// The columns of this entity's row; none if `config` does not have it.
    pub(super) fn cells(&self, config: &Config, kind: EntityKind, id: Uuid) -> Option<Vec<Cell>> {
        let values = kind.visit(Values { config, id })?;
        let cell = |column: &&str| {
            let found = values.iter().find(|(name, _)| name == column);
            found.map_or(Cell::Null, |(_, cell)| cell.clone())
        };
        Some(self.columns.iter().map(cell).collect())
    }
}

/// Unique fields, then references to kinds that can be stored.
fn columns(kind: EntityKind) -> Vec<&'static str> {
    let fields = kind.schema().fields;
    let unique = fields.iter().filter(|field| field.unique).map(|field| field.name);
    unique.chain(foreign_keys(fields).map(|key| key.field)).collect()
}

struct Values<'a> {
    config: &'a Config,
    id: Uuid,
}

impl Visit for Values<'_> {
    type Output = Option<Vec<(&'static str, Cell)>>;

    fn visit<E: Entity>(self) -> Self::Output {
        let entity = self.config.get::<E>(Id::from(self.id))?;
        let mut values = Vec::new();
        entity.visit_unique(&mut |field, value| values.push((field, Cell::Text(value.to_owned()))));
        entity.visit_references(&mut |field, target| values.push((field, Cell::Id(target))));
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_column_per_unique_field_and_reference() {
        let routes = Statements::of(EntityKind::Route);
        assert_eq!(
            routes.put,
            "insert into routes (id, \"name\", \"service\", bytes) values ($1, $2, $3, $4) \
             on conflict (id) do update set \"name\" = excluded.\"name\", \
             \"service\" = excluded.\"service\", bytes = excluded.bytes"
        );
        assert_eq!(Statements::of(EntityKind::Service).columns, ["name", "client_certificate"]);
    }
}
