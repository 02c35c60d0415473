//! What the tests of every crate share.

pub mod cases; // the .case runner
pub mod plugins; // types of plugins

use std::sync::Arc;

use serde_json::{Value, json};

use crate::entities::{Route, Service};
use crate::schema;
use crate::{Config, Flavor, Revision, RevisionId};

pub use plugins::{Knowing, catalog, terms};

/// A service to `http://127.0.0.1:80` until told otherwise.
pub fn service(name: &str) -> ServiceBuilder {
    let id = uuid::Uuid::new_v4();
    ServiceBuilder(json!({
        "id": id, "name": name, "host": "127.0.0.1", "created_at": 1, "updated_at": 1,
    }))
}

/// A route that matches nothing special until told otherwise.
pub fn route(name: &str) -> RouteBuilder {
    let id = uuid::Uuid::new_v4();
    RouteBuilder(json!({ "id": id, "name": name, "created_at": 1, "updated_at": 1 }))
}

/// Builds a [`Service`] as a control plane would: through the schema.
#[derive(Clone, Debug)]
pub struct ServiceBuilder(Value);

/// Builds a [`Route`] as a control plane would: through the schema.
#[derive(Clone, Debug)]
pub struct RouteBuilder(Value);

impl ServiceBuilder {
    /// Sets any field, as JSON would.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    /// Where it is: `http://127.0.0.1:8080/base`.
    #[must_use]
    pub fn url(self, url: &str) -> Self {
        self.with("url", url)
    }

    /// The service.
    ///
    /// # Panics
    /// If the schema refuses it.
    #[track_caller]
    pub fn build(self) -> Service {
        schema::check(self.0).unwrap_or_else(|violations| panic!("{violations}"))
    }
}

impl RouteBuilder {
    /// Sets any field, as JSON would.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    /// One more path.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        self.push("paths", path)
    }

    /// One more host.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.push("hosts", host)
    }

    /// One more method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        self.push("methods", method)
    }

    /// Where it leads.
    #[must_use]
    pub fn to(self, service: &Service) -> Self {
        self.with("service", json!({ "id": service.id }))
    }

    /// The route, in the flavor of expressions if it has one.
    ///
    /// # Panics
    /// If the schema refuses it.
    #[track_caller]
    pub fn build(self) -> Route {
        let has_expression = self.0.get("expression").is_some();
        let flavor = if has_expression { Flavor::Expressions } else { Flavor::default() };
        schema::check_in(flavor.into(), self.0).unwrap_or_else(|violations| panic!("{violations}"))
    }

    fn push(mut self, field: &str, value: &str) -> Self {
        match &mut self.0[field] {
            Value::Array(values) => values.push(value.into()),
            empty => *empty = json!([value]),
        }
        self
    }
}

/// The revision that has this content at this version of the first epoch.
pub fn revision(version: u64, config: Config) -> Arc<Revision> {
    let id = RevisionId { epoch: 1, version, hash: config.hash() };
    Arc::new(Revision { id, signature: None, config })
}
