//! The declarative file: a whole configuration as one YAML or JSON document.
//!
//! The format is Kong's 3.0: sections named after the entities, children inside
//! the parent they refer to, ids derived from names where none is given, so
//! that the same file is the same configuration on every node. A document is
//! taken whole or refused with everything that is wrong with it.

mod migrate; // documents of Kong before 3.0
mod load; // a document as a configuration
mod export; // a configuration as a document
mod flatten; // what is wrong, per entity

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use crate::judge::Judge;
use crate::value::Timestamp;
use crate::violation::{TOLD, Violations};
use crate::vitals::Problem;
use crate::{Config, EntityKind, Terms};

pub use export::export;
pub use flatten::{Flattened, flatten};
pub use load::load;

/// A document that is a configuration.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The configuration.
    pub config: Config,
    places: HashMap<(EntityKind, Uuid), Place>,
}

/// Where an entity stands: its section and position, after those of the parent it is in.
type Place = Vec<(EntityKind, usize)>;

/// Why a document is not a configuration.
#[derive(Debug, thiserror::Error)]
pub enum DeclarativeError {
    /// It is neither YAML nor JSON.
    #[error("the declarative configuration cannot be read: {0}")]
    Syntax(String),
    /// It says something that cannot be; every such thing, by section and place.
    #[error("the declarative configuration is invalid:{}", listed(.0))]
    Invalid(Violations),
}

impl DeclarativeError {
    /// The same as a tree. What cannot be read has no places: Kong says so under `error`.
    pub fn into_violations(self) -> Violations {
        match self {
            Self::Syntax(why) => Violations::field(
                "error",
                format!("failed parsing declarative configuration: {why}"),
            ),
            Self::Invalid(violations) => violations,
        }
    }
}

/// A line for each message.
fn listed(violations: &Violations) -> String {
    let line = |(place, message): (String, Cow<'_, str>)| match place.as_str() {
        "" => format!("\n  {message}"),
        place => format!("\n  {place}: {message}"),
    };
    violations.messages().into_iter().map(line).collect()
}

/// Reads a document as a node with these terms takes it. `now` is the time of creation of what does not say its own.
pub fn parse(text: &str, now: Timestamp, terms: Terms) -> Result<Document, DeclarativeError> {
    load(read(text)?, now, terms).map_err(DeclarativeError::Invalid)
}

/// Reads YAML, which JSON is a part of.
pub fn read(text: &str) -> Result<Value, DeclarativeError> {
    // What stands in the text costs in proportion to it, however long; what aliases make of it does not.
    let length = text.len();
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 1_000_000 + 2 * length,
            max_nodes: 250_000 + length,
            max_total_scalar_bytes: (64 << 20) + length,
        },
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| DeclarativeError::Syntax(error.to_string()))
}

impl Document {
    /// The same, if the engine would serve it.
    pub fn judged(self, judge: &dyn Judge) -> Result<Self, DeclarativeError> {
        match judge.rehearse(&self.config) {
            Ok(()) => Ok(self),
            Err(problems) => Err(DeclarativeError::Invalid(self.blame(&problems))),
        }
    }

    /// What the engine objects to, at the places of the entities it blames. As anywhere, the first
    /// [`TOLD`] objections are told and the rest are counted.
    pub fn blame(&self, problems: &[Problem]) -> Violations {
        let mut found = Violations::default();
        found.leave_untold(problems.len().saturating_sub(TOLD));
        for problem in problems.iter().take(TOLD) {
            let place = problem
                .entity
                .as_ref()
                .and_then(|(table, id)| self.places.get(&(EntityKind::from_name(table)?, *id)));
            match place {
                Some(place) => {
                    let steps = place.iter();
                    let entity =
                        steps.fold(&mut found, |at, (kind, index)| at.element(kind.name(), *index));
                    match &problem.field {
                        Some(field) => entity.add(field, &problem.message),
                        None => entity.add_entity(&problem.message),
                    }
                }
                None => found.add_entity(problem.to_string()),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::load::derived;
    use super::*;
    use crate::entities::{Route, Service};

    const NOW: Timestamp = Timestamp::from_seconds(1);

    #[test]
    fn names_give_kongs_ids() {
        assert_eq!(
            derived(EntityKind::Service, "my-service").to_string(),
            "0855b320-0dd2-547d-891d-601e9b38647f"
        );
        assert_eq!(
            derived(EntityKind::Route, "my-route").to_string(),
            "481a9539-f49c-51b6-b2e2-fe99ee68866c"
        );
    }

    #[test]
    fn children_and_names_lead_to_their_service() {
        let config = parse(
            r#"
_format_version: "3.0"
_transform: true
routes:
- name: above
  service: orders
  paths: [/above]
services:
- name: orders
  url: http://127.0.0.1:9000/base
  _comment: the one
  routes:
  - name: inside
    paths: [/inside]
"#,
            NOW,
            Terms::default(),
        )
        .expect("a configuration")
        .config;
        let service = config.all::<Service>().by_endpoint_key("orders").expect("there");
        for name in ["above", "inside"] {
            let route = config.all::<Route>().by_endpoint_key(name).expect("there");
            assert_eq!(route.service.expect("points").id, service.id);
        }
        assert_eq!(service.port, 9000);
    }

    #[test]
    fn the_same_document_is_the_same_configuration() {
        let text = r#"{"_format_version":"3.0","services":[{"name":"a","host":"h"}]}"#;
        let hash = || parse(text, NOW, Terms::default()).expect("a configuration").config.hash();
        assert_eq!(hash(), hash());
    }

    #[test]
    fn everything_wrong_is_said_at_its_place() {
        check("services: []", "\n  _format_version: required field missing");
        check("_format_version: '2.0'", "expected one of: 1.1, 2.1, 3.0");
        check("_format_version: '3.0'\nservises: []", "\n  servises: unknown field");
        check(
            "_format_version: '3.0'\nroutes: [{name: a, paths: [/], service: nowhere}]",
            "invalid reference 'service: nowhere' (no such entry in 'services')",
        );
        check(
            "_format_version: '3.0'\nservices: [{name: a, host: h}, {name: a, host: h, id: 0855b320-0dd2-547d-891d-601e9b38647f}]",
            "'services' entity with name set to 'a' already declared",
        );
        check("_format_version: '3.0'\nservices: [{name: a}]", "required field missing");
        check("- 1", "expected an object");
        check("a: [", "cannot be read");
    }

    #[test]
    fn a_long_document_is_read_but_not_one_that_repeats_itself_without_end() {
        let long = format!("_format_version: '3.0'\n_ignore: [{}]", "x, ".repeat(300_000));
        parse(&long, NOW, Terms::default()).expect("a configuration");
        let level = |n: u32| format!("- &l{n} [{}]\n", format!("*l{}, ", n - 1).repeat(10));
        let bomb = format!(
            "_format_version: '3.0'\n_ignore:\n- &l0 [{}]\n{}",
            "x, ".repeat(10),
            (1..9).map(level).collect::<String>()
        );
        check(&bomb, "cannot be read");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error =
            parse(text, NOW, Terms::default()).expect_err("nothing a node could serve").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
