//! Where a configuration is kept, and why there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use model::{Config, declarative};

use super::reader::Reader;
use crate::bounded;

/// Where a control plane keeps the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Database {
    /// One file; made if it is not there.
    Sqlite(PathBuf),
}

/// What a node starts from that has nothing better.
#[derive(Clone, Debug)]
pub struct Declarative {
    /// Where it comes from: a path, or a property.
    pub name: String,
    /// What it says, or why that is no configuration.
    pub config: Result<Arc<Config>, String>,
}

impl PartialEq for Declarative {
    fn eq(&self, other: &Self) -> bool {
        let hash = |it: &Self| it.config.clone().map(|config| config.hash());
        self.name == other.name && hash(self) == hash(other)
    }
}

impl Reader<'_> {
    /// The database of a role that may have one. What was decided is told, with the reason.
    pub(super) fn database(&mut self, role: &str, prefix: &Path) -> Database {
        let said = self.text("database");
        let file = prefix.join("gateway.db");
        match said {
            None => self.refuse_postgres_settings(),
            Some("sqlite") => {}
            Some("off") if role == "control_plane" => {
                self.wrong(
                    "database",
                    "in-memory storage can not be used when role = \"control_plane\"",
                );
            }
            Some("off") => self.wrong(
                "database",
                "a node without a database and without a control plane is not part of this version; \
                 use sqlite, or role = data_plane",
            ),
            Some("postgres") => {
                self.wrong("database", "PostgreSQL is not part of this version; use sqlite")
            }
            Some("cassandra") => self.wrong("database", "Cassandra is not supported; use sqlite"),
            Some(_) => self.wrong("database", "expected one of: postgres, sqlite, off"),
        }
        let why = if said.is_some() {
            "as configured"
        } else {
            "the default, as no pg_* property is set"
        };
        self.inform(format!("database = sqlite ({}): {why}", file.display()));
        for name in ["declarative_config", "declarative_config_string"] {
            if self.is_set(name) {
                self.warn(format!("{name} has no effect: the configuration is in the database"));
            }
        }
        Database::Sqlite(file)
    }

    /// A data plane has no database, whatever its environment says about PostgreSQL.
    pub(super) fn refuse_database(&mut self) {
        match self.text("database") {
            None => self.inform("database = off: a data plane has none".to_owned()),
            Some("off") => {}
            Some(_) => self.wrong(
                "database",
                "only in-memory storage can be used when role = \"data_plane\"; use off",
            ),
        }
    }

    /// Where Kong's default counts, a `pg_*` property means that PostgreSQL is expected.
    fn refuse_postgres_settings(&mut self) {
        let set: Vec<_> = self
            .settings
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("pg_"))
            .collect();
        for name in set {
            self.wrong(name, "it asks for PostgreSQL, which is not part of this version; remove it, or say database = sqlite");
        }
    }

    pub(super) fn declarative(&mut self) -> Option<Declarative> {
        let (file, text) =
            (self.path("declarative_config"), self.text("declarative_config_string"));
        match (file, text) {
            (Some(_), Some(_)) => {
                self.wrong(
                    "declarative_config_string",
                    "declarative_config is set too; keep one of them",
                );
                None
            }
            (Some(file), None) => match bounded::read(&file, bounded::DOCUMENT) {
                Ok(text) => Some(self.document(file.display().to_string(), &text)),
                Err(error) => {
                    let path = file.display();
                    self.wrong("declarative_config", format!("cannot read {path}: {error}"));
                    None
                }
            },
            (None, text) => {
                text.map(|text| self.document("declarative_config_string".to_owned(), text))
            }
        }
    }

    /// A document that is no configuration need not keep a node from starting: what is in its cache
    /// comes first.
    fn document(&mut self, name: String, text: &str) -> Declarative {
        let config = declarative::parse(text, SystemTime::now().into());
        let config = config.map(Arc::new).map_err(|error| error.to_string());
        if let Err(error) = &config {
            self.warn(format!("{name}: {error}; without a cache this node does not start"));
        }
        Declarative { name, config }
    }
}
