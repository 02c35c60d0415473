//! Where the server is, who we are there, and how we speak to it.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

use super::super::link::DatabaseError;
use super::carry;
use super::tls::BoringTls;

/// How PostgreSQL is reached (`pg_*`).
#[derive(Clone, PartialEq)]
pub struct Postgres {
    /// A name, an address, or the directory of a Unix socket (`pg_host`).
    pub host: String,
    /// `pg_port`.
    pub port: u16,
    /// `pg_user`.
    pub user: String,
    /// `pg_password`; none where the server asks for none.
    pub password: Option<String>,
    /// `pg_database`.
    pub database: String,
    /// Where in the database our tables are; none for what the server says (`pg_schema`).
    pub schema: Option<String>,
    /// How long a connection, and then each answer, may take (`pg_timeout`).
    pub timeout: Duration,
    /// TLS, if that is how it is to be spoken to (`pg_ssl`).
    pub tls: Option<PostgresTls>,
    /// How often to look for what other nodes wrote, should their word of it not arrive
    /// (`db_update_frequency`).
    pub poll: Duration,
    /// A copy that may be a moment old: the past is read there first (`pg_ro_*`).
    pub replica: Option<Box<Postgres>>,
}

/// TLS to PostgreSQL. A server that does not speak it is not spoken to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostgresTls {
    /// Whether the server must prove that it is who it should be (`pg_ssl_verify`).
    pub verify: bool,
    /// Whom to believe that, in PEM (`lua_ssl_trusted_certificate`).
    pub trusted: Vec<String>,
    /// Whether the system's authorities are believed too.
    pub system: bool,
}

impl Default for Postgres {
    /// Kong's defaults.
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            user: "kong".to_owned(),
            password: None,
            database: "kong".to_owned(),
            schema: None,
            timeout: Duration::from_secs(5),
            tls: None,
            poll: Duration::from_secs(5),
            replica: None,
        }
    }
}

impl Postgres {
    /// Connects. What carries the connection from then on is one of `tasks`.
    pub(super) async fn connect(
        &self,
        tasks: &mut JoinSet<()>,
        notes: Option<UnboundedSender<String>>,
    ) -> Result<Client, DatabaseError> {
        let mut config = Config::new();
        config
            .host(&*self.host)
            .port(self.port)
            .user(&*self.user)
            .dbname(&*self.database)
            .application_name("gateway")
            .connect_timeout(self.timeout)
            .tcp_user_timeout(self.timeout)
            .ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &self.password {
            config.password(password);
        }
        let Some(tls) = &self.tls else {
            let (client, connection) = config.connect(NoTls).await?;
            tasks.spawn(carry(connection, notes));
            return Ok(client);
        };
        let (client, connection) = config.connect(BoringTls::new(tls)?).await?;
        tasks.spawn(carry(connection, notes));
        Ok(client)
    }
}

/// Where it is, as an operator would say it.
impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, database, schema, .. } = self;
        write!(f, "{database} at {host}:{port}")?;
        schema.iter().try_for_each(|schema| write!(f, ", schema {schema}"))
    }
}

/// Everything but the password.
impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("at", &self.to_string())
            .field("user", &self.user)
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .field("replica", &self.replica)
            .finish_non_exhaustive()
    }
}
