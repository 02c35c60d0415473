//! What this process was told, as types.
//!
//! Text becomes a value here, once; afterwards the types are believed. Every mistake is collected and
//! they are returned together, each with its property, its value and where that came from. The types
//! are plain: `run` turns them into what each crate takes.

mod admin; // who may configure it, and how they get in
mod cluster;
mod database;
mod door; // what clients may do before their requests are looked at
mod effective;
mod errors;
mod listen;
mod live;
mod log;
mod mistake;
mod pem;
mod places;
mod plugins;
mod proxy;
mod reader;
mod routing;
mod secrets; // what is kept in vaults
mod tls;
mod upstream_tls;

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use cluster::{ClusterClient, ClusterServer, Endpoint};
pub use database::{Database, Declarative};
pub use door::Door;
pub use listen::{Listen, Probes};
pub use live::{Texts, WAITS, taken_up, waiting};
pub use log::{Destination, Level, Logs};
pub use mistake::{Mistake, Mistakes};
pub use proxy::{Forwarding, Header, Keepalive, Proxy, RealIp, Streams, UpstreamHeader, Workers};

pub use reader::show;
pub use secrets::vaults_of;
pub use tls::{Ciphers, Tls, Version};
pub use upstream_tls::UpstreamTls;

use engine::RouterOptions;
use model::Catalog;
use serde_json::{Map, Value};

use crate::conf::saved::Saved;
use crate::conf::{Setting, Settings};
use crate::properties::{self, Standing};
use reader::Reader;
use secrets::Secrets;

/// Everything fixed at start.
#[derive(Debug)]
pub struct Options {
    /// The directory all of this node's files are under; absolute.
    pub prefix: PathBuf,
    /// Whether there is a terminal to write to.
    pub mode: Mode,
    /// What this node is, and what it needs for that.
    pub role: Role,
    /// How routes are written, and which goes first: for every part that compiles them.
    pub routing: RouterOptions,
    /// The types of plugins that may be used: for every part that takes or runs them.
    pub plugins: Catalog,
    /// Where health and status are served, on every role.
    pub status: Status,
    /// Where log lines go.
    pub logs: Logs,
    /// Whether `start` should leave the terminal, where a property says so.
    pub daemon: Option<bool>,
    /// How long to wait for the turn to migrate a shared database, where the command line says to.
    pub migrate: Option<Duration>,
    /// What the operator should read once, at start.
    pub notices: Vec<Notice>,
    /// Every property with the value that counts, secrets hidden.
    pub effective: Map<String, Value>,
    /// The text of every property that was set and that this node reads, secrets and all: what a reload
    /// compares.
    pub texts: Texts,
}

/// The three kinds of node.
#[derive(Debug)]
pub enum Role {
    /// Both planes in one process, joined by a channel.
    Traditional {
        /// The control plane's half.
        admin: Admin,
        /// The data plane's half.
        proxy: Proxy,
    },
    /// Owns the configuration.
    ControlPlane {
        /// The database and the Admin API.
        admin: Admin,
        /// The listener for data planes.
        cluster: ClusterServer,
    },
    /// Serves traffic.
    DataPlane {
        /// The link to the control plane.
        cluster: ClusterClient,
        /// What serves clients.
        proxy: Proxy,
        /// What to serve where neither the cache nor the control plane has a configuration.
        fallback: Option<Declarative>,
    },
}

/// Health and status.
#[derive(Debug)]
pub struct Status {
    /// Where they are served. Empty for `off`.
    pub listen: Vec<Listen>,
    /// How TLS is spoken there.
    pub tls: ::admin::Tls,
}

/// The database and the Admin API in front of it.
#[derive(Debug)]
pub struct Admin {
    /// Where it is served. Empty for `off`, which a control plane may not say.
    pub listen: Vec<Listen>,
    /// How TLS is spoken there.
    pub tls: ::admin::Tls,
    /// Who is let in.
    pub rules: ::admin::Rules,
    /// Whose pages browsers let read answers.
    pub origins: ::admin::Origins,
    /// Where the configuration is kept.
    pub database: Database,
    /// Largest request body, bytes; `None` for any.
    pub max_body: Option<u64>,
    /// Revisions kept for deltas and rollback.
    pub revisions_kept: u64,
    /// How long it is kept who changed what.
    pub audit_kept: Duration,
    /// When a data plane that is gone is forgotten.
    pub purge_delay: Duration,
    /// What is added to responses.
    pub headers: BTreeSet<Header>,
}

/// Whether the process has a terminal, or whoever started it, to write to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Logs that were not sent elsewhere go to stdout and stderr.
    Foreground,
    /// They go to files under the prefix.
    Detached,
}

/// What the settings are read for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Purpose {
    /// To start, so that what a start makes and opens is looked at, too.
    Start,
    /// For a process that runs and has that behind it.
    Look,
}

/// A line for the operator at start.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Something was decided on the operator's behalf.
    Info(String),
    /// Something that was said is not what will happen.
    Warning(String),
}

impl Options {
    /// Reads all settings; or says everything that is wrong with them.
    pub fn read(settings: &Settings, mode: Mode) -> Result<Self, Mistakes> {
        let secrets = Secrets::of(settings);
        let mut reader = Reader::new(settings, &secrets);
        let options = reader.options(mode, Purpose::Look);
        reader.into_result(options)
    }

    /// The same for a process that is to start: everything there is to know before that is found out
    /// here, so that `check` can say it too.
    pub fn read_to_start(settings: &Settings, mode: Mode) -> Result<Self, Mistakes> {
        let secrets = Secrets::of(settings);
        let mut reader = Reader::new(settings, &secrets);
        let options = reader.options(mode, Purpose::Start);
        reader.into_result(options)
    }

    /// What the node in `prefix` should be from now on: `reload` has checked it and left it there. Reads
    /// files, which may take as long as it likes where they are pipes.
    pub fn reread(prefix: &Path, mode: Mode) -> Result<Self, RereadError> {
        let saved =
            Saved::read(prefix).map_err(RereadError::Unreadable)?.ok_or(RereadError::Gone)?;
        Ok(Self::read(&saved.settings(), mode)?)
    }
}

/// Why a running node keeps the options it has.
#[derive(Debug, thiserror::Error)]
pub enum RereadError {
    /// The prefix no longer says how this node was started.
    #[error("the prefix holds no configuration")]
    Gone,
    /// What the prefix says cannot be read.
    #[error("could not read the prefix's configuration")]
    Unreadable(#[source] io::Error),
    /// Something it says is wrong; a file it names may have gone since.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// The directory of the node that these settings are about, whatever else they say.
///
/// # Errors
/// If that is in a vault that does not tell it.
pub fn prefix_of(settings: &Settings) -> Result<PathBuf, Mistakes> {
    let secrets = Secrets::of(settings);
    let reader = Reader::new(settings, &secrets);
    let prefix = (!secrets.lacks("prefix")).then(|| reader.prefix());
    prefix.map_or_else(|| reader.into_result(None), Ok)
}

impl Role {
    /// As the property spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Traditional { .. } => "traditional",
            Self::ControlPlane { .. } => "control_plane",
            Self::DataPlane { .. } => "data_plane",
        }
    }
}

impl Role {
    /// What serves clients, if anything does.
    fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Traditional { proxy, .. } | Self::DataPlane { proxy, .. } => Some(proxy),
            Self::ControlPlane { .. } => None,
        }
    }

    /// What configures it, if anything does but another node.
    pub fn admin(&self) -> Option<&Admin> {
        match self {
            Self::Traditional { admin, .. } | Self::ControlPlane { admin, .. } => Some(admin),
            Self::DataPlane { .. } => None,
        }
    }

    /// Where the configuration is kept, as the property `database` spells it.
    fn database(&self) -> &'static str {
        match self {
            Self::Traditional { admin, .. } | Self::ControlPlane { admin, .. } => {
                match admin.database {
                    Database::Sqlite(_) => "sqlite",
                    Database::Postgres(_) => "postgres",
                    Database::Off(_) => "off",
                }
            }
            Self::DataPlane { .. } => "off",
        }
    }
}

impl Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Info(text) | Self::Warning(text) => f.write_str(text),
        }
    }
}

/// Whether this says no more than silence would: a file with every default written out is no reason to warn.
fn is_default(name: &str, setting: &Setting) -> bool {
    properties::find(name).is_some_and(|property| property.default == setting.text)
}

impl Reader<'_> {
    /// Nothing only where what is missing was noted.
    fn options(&mut self, mode: Mode, purpose: Purpose) -> Option<Options> {
        self.check_every_name();
        self.check_vaults();
        let prefix = self.prefix();
        self.tell_flavor();
        let plugins = self.plugins(plugins::installed());
        let role = self.role(&prefix);
        let status = self.status(&prefix);
        self.refuse_shared_addresses();
        let logs = self.logs(&prefix, mode);
        if purpose == Purpose::Start {
            self.check_places(&prefix, &logs);
            let proxy = role.as_ref().and_then(Role::proxy);
            if let Some(directory) = proxy.map(|proxy| proxy.door.body_directory.clone()) {
                self.check_body_directory(&prefix, &directory);
            }
        }
        let daemon = self.is_set("nginx_daemon").then(|| self.flag("nginx_daemon"));
        self.tell_unread();
        let role = role?;
        Some(Options {
            mode,
            routing: self.routing(),
            plugins,
            status,
            logs,
            daemon,
            migrate: None,
            notices: self.notices(),
            effective: self.effective(role.database()),
            texts: self.texts(),
            prefix,
            role,
        })
    }

    fn prefix(&self) -> PathBuf {
        self.path("prefix").expect("prefix has a default")
    }

    fn role(&mut self, prefix: &Path) -> Option<Role> {
        match self.choice("role") {
            "control_plane" => {
                self.refuse_labels(
                    "cluster_dp_labels can not be used when role = \"control_plane\"",
                );
                self.require_listener("admin_listen", "control_plane");
                self.require_listener("cluster_listen", "control_plane");
                let admin = self.admin("control_plane", prefix);
                Some(Role::ControlPlane { admin, cluster: self.cluster_server()? })
            }
            "data_plane" => {
                self.require_listener("proxy_listen", "data_plane");
                self.refuse_database();
                let (proxy, fallback) = (self.proxy(prefix), self.fallback());
                Some(Role::DataPlane { cluster: self.cluster_client(prefix)?, proxy, fallback })
            }
            _ => {
                self.refuse_labels("cluster_dp_labels can only be used when role = \"data_plane\"");
                let proxy = self.proxy(prefix);
                Some(Role::Traditional { admin: self.admin("traditional", prefix), proxy })
            }
        }
    }

    /// What the table says about each property that was set.
    fn check_every_name(&mut self) {
        let mut idle = Vec::new();
        for (name, setting) in self.settings.iter() {
            match properties::standing(name) {
                None => self.unknown(name, setting),
                Some(Standing::Inert(_)) if is_default(name, setting) => idle.push(name),
                Some(Standing::Inert(why)) => {
                    self.warn(format!("{name} ({}) has no effect: {why}", setting.origin));
                }
                Some(Standing::Refused(why)) => self.wrong(name, why),
                Some(Standing::Only(values, why)) => self.only(name, setting, values, why),
                Some(Standing::Effective | Standing::Mapped(_)) => {}
            }
        }
        if !idle.is_empty() {
            let names = idle.join(", ");
            self.inform(format!("set as by default, and without effect here: {names}"));
        }
        for property in properties::all() {
            self.check_kind(property);
        }
    }

    /// Says which of the effective properties that were set have no say in this node: the file of one
    /// node may well be that of all.
    fn tell_unread(&mut self) {
        let (asked, role) = (self.asked(), self.choice("role"));
        for (name, setting) in self.settings.iter() {
            let read_as = match properties::standing(name) {
                Some(Standing::Effective) => name,
                Some(Standing::Mapped(to)) => to,
                _ => continue,
            };
            if !asked.contains(read_as) {
                let from = &setting.origin;
                let readers = properties::find(read_as).map_or(&[][..], |p| p.readers);
                let why = if readers.contains(&role) {
                    format!("a {role} set up like this does not read it")
                } else {
                    format!("it is for {}, and this is a {role}", readers.join(" and "))
                };
                self.inform(format!("{name} ({from}) is not used: {why}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
