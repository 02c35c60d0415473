//! Where a configuration is kept, and why there.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use admin::{Beginning, Postgres, PostgresTls};
use model::{Terms, declarative};

use super::plugins;
use super::reader::Reader;
use crate::bounded;

/// Where the configuration of a node with an Admin API is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Database {
    /// One file; made if it is not there.
    Sqlite(PathBuf),
    /// A server, which other nodes may share.
    Postgres(Box<Postgres>),
    /// Nowhere: it is a document, and begins with this one, or empty.
    Off(Option<Beginning>),
}

/// A whole configuration as one document. It is read once, since what it is read from may be a pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Declarative {
    /// Where it comes from: a path, or a property.
    pub name: String,
    /// What it says, or why that is no configuration that could be served.
    pub document: Result<Beginning, String>,
}

impl Reader<'_> {
    /// The database of a role that may have one. What was decided is told, with the reason.
    pub(super) fn database(&mut self, role: &str, prefix: &Path) -> Database {
        let said = self.text("database");
        if !matches!(said, Some("off")) {
            self.warn_of_documents();
        }
        match said {
            Some("postgres") => return self.postgres("as configured"),
            Some("sqlite") => {}
            Some("off") if role == "control_plane" => {
                self.wrong(
                    "database",
                    "in-memory storage can not be used when role = \"control_plane\"",
                );
            }
            Some("off") => return self.no_database(),
            None if self.settings.iter().any(|(name, _)| name.starts_with("pg_")) => {
                return self.postgres("the default, as pg_* properties are set");
            }
            None => {}
            Some("cassandra") => {
                self.wrong("database", "Cassandra is not supported; use postgres or sqlite");
            }
            Some(_) => self.wrong("database", "expected one of: postgres, sqlite, off"),
        }
        let why = if said.is_some() {
            "as configured"
        } else {
            "the default, as no pg_* property is set"
        };
        let file = prefix.join("gateway.db");
        self.inform(format!("database = sqlite ({}): {why}", file.display()));
        Database::Sqlite(file)
    }

    fn warn_of_documents(&mut self) {
        for name in ["declarative_config", "declarative_config_string"] {
            if self.is_set(name) {
                self.warn(format!("{name} has no effect: the configuration is in the database"));
            }
        }
    }

    /// The server, and how it is spoken to.
    fn postgres(&mut self, why: &str) -> Database {
        let milliseconds = self.whole("pg_timeout", 1..=u64::from(u32::MAX));
        let poll = Duration::try_from_secs_f64(self.number("db_update_frequency"));
        let poll = poll.ok().filter(|poll| !poll.is_zero());
        if poll.is_none() {
            self.wrong("db_update_frequency", "must be greater than 0");
        }
        let text = |name| self.text(name).unwrap_or_default().to_owned();
        let options = Postgres {
            host: text("pg_host"),
            user: text("pg_user"),
            password: self.text("pg_password").map(str::to_owned),
            database: text("pg_database"),
            schema: self.text("pg_schema").map(str::to_owned),
            port: self.whole("pg_port", 1..=65535) as u16,
            timeout: Duration::from_millis(milliseconds),
            tls: self.postgres_tls(),
            poll: poll.unwrap_or(Duration::from_secs(1)),
            replica: None,
        };
        self.inform(format!("database = postgres ({options}): {why}"));
        let replica = self.replica(&options);
        if let Some(replica) = &replica {
            self.inform(format!("what was changed is looked up at the replica ({replica})"));
        }
        Database::Postgres(Box::new(Postgres { replica: replica.map(Box::new), ..options }))
    }

    /// The server's replica, if there is one. What is not said of it is as at the server itself.
    fn replica(&mut self, server: &Postgres) -> Option<Postgres> {
        let tls = self.replica_tls(server.tls.is_some());
        let port = match self.is_set("pg_ro_port") {
            true => self.whole("pg_ro_port", 1..=65535) as u16,
            false => server.port,
        };
        let timeout = match self.is_set("pg_ro_timeout") {
            true => Duration::from_millis(self.whole("pg_ro_timeout", 1..=u64::from(u32::MAX))),
            false => server.timeout,
        };
        let text = |name| self.text(name).map(str::to_owned);
        let (user, database) = (text("pg_ro_user"), text("pg_ro_database"));
        let (password, schema) = (text("pg_ro_password"), text("pg_ro_schema"));
        Some(Postgres {
            host: text("pg_ro_host")?,
            port,
            user: user.unwrap_or_else(|| server.user.clone()),
            password: password.or_else(|| server.password.clone()),
            database: database.unwrap_or_else(|| server.database.clone()),
            schema: schema.or_else(|| server.schema.clone()),
            timeout,
            tls,
            ..server.clone()
        })
    }

    fn replica_tls(&mut self, otherwise: bool) -> Option<PostgresTls> {
        let is_encrypted = match self.is_set("pg_ro_ssl") {
            true => self.flag("pg_ro_ssl"),
            false => otherwise,
        };
        let verify = match self.is_set("pg_ro_ssl_verify") {
            true => self.flag("pg_ro_ssl_verify"),
            false => self.flag("pg_ssl_verify"),
        };
        let (trusted, system) = self.trusted();
        is_encrypted.then_some(PostgresTls { verify, trusted, system })
    }

    fn postgres_tls(&mut self) -> Option<PostgresTls> {
        let verify = self.flag("pg_ssl_verify");
        let (trusted, system) = self.trusted();
        self.flag("pg_ssl").then_some(PostgresTls { verify, trusted, system })
    }

    /// A node by itself that is told what to serve, and forgets it.
    fn no_database(&mut self) -> Database {
        let found = self.declarative();
        let begins = if found.is_some() { "with declarative_config" } else { "empty" };
        self.inform(format!(
            "database = off: as configured; the configuration begins {begins}, and POST /config replaces it"
        ));
        let document = found.map(|found| {
            let property = self.declarative_property();
            found.document.map_err(|error| self.wrong(property, error))
        });
        Database::Off(document.and_then(Result::ok))
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

    /// What a data plane falls back to. A document that is no configuration need not keep it from
    /// starting: what is in its cache comes first.
    pub(super) fn fallback(&mut self) -> Option<Declarative> {
        let found = self.declarative()?;
        if let Err(error) = &found.document {
            let name = &found.name;
            self.warn(format!("{name}: {error}\nwithout a cache this node does not start"));
        }
        Some(found)
    }

    fn declarative(&mut self) -> Option<Declarative> {
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
                Ok(text) => Some(self.read(file.display().to_string(), &text)),
                Err(error) => {
                    let path = file.display();
                    self.wrong("declarative_config", format!("cannot read {path}: {error}"));
                    None
                }
            },
            (None, text) => {
                let name = "declarative_config_string".to_owned();
                text.map(|text| self.read(name, text))
            }
        }
    }

    fn read(&mut self, name: String, text: &str) -> Declarative {
        let routing = self.routing();
        let judge = plugins::judge(routing, self.plugins(plugins::installed()));
        let terms = Terms::of(routing.router_flavor, &*judge);
        let document = declarative::parse(text, SystemTime::now().into(), terms)
            .and_then(|document| document.judged(&*judge))
            .map(|document| Beginning::new(text, document.config))
            .map_err(|error| error.to_string());
        Declarative { name, document }
    }

    /// Which of the two brings the document.
    fn declarative_property(&self) -> &'static str {
        if self.is_set("declarative_config") {
            "declarative_config"
        } else {
            "declarative_config_string"
        }
    }
}
