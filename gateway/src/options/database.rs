//! Where a configuration is kept, and why there.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use super::reader::Reader;

/// Where the configuration of a node with an Admin API is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Database {
    /// One file; made if it is not there.
    Sqlite(PathBuf),
    /// Nowhere: it is a document, and begins with this one, or empty.
    Off(Option<Declarative>),
}

/// A whole configuration as one document.
#[derive(Clone, Debug, PartialEq)]
pub enum Declarative {
    /// A file, YAML or JSON.
    File(PathBuf),
    /// The document itself.
    Text(String),
}

/// Where it is from, as messages call it.
impl Display for Declarative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Text(_) => f.write_str("declarative_config_string"),
        }
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
            Some("off") => return self.no_database(),
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

    /// A node by itself that is told what to serve, and forgets it.
    fn no_database(&mut self) -> Database {
        let document = self.declarative();
        let begins = if document.is_some() { "with declarative_config" } else { "empty" };
        self.inform(format!(
            "database = off: as configured; the configuration begins {begins}, and POST /config replaces it"
        ));
        Database::Off(document)
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
            (Some(file), None) if !file.is_file() => {
                self.wrong("declarative_config", format!("no file at: {}", file.display()));
                None
            }
            (Some(file), None) => Some(Declarative::File(file)),
            (None, text) => text.map(|text| Declarative::Text(text.to_owned())),
        }
    }
}
