//! `config`: the configuration as a file. Made, looked at, taken into the database, and out of it.
//!
//! What is wrong with a file is said all at once, each with its place, by the same judge that a node has.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use model::Terms;
use model::causes::chain;
use model::declarative::{self, Document};
use model::value::Timestamp;
use tokio::runtime::{self, Runtime};
use tracing_subscriber::filter::LevelFilter;

use super::console::Console;
use super::control::settings_of_node;
use super::{GroupPlace, Place};
use crate::bounded;
use crate::options::{Mode, Options};
use crate::prefix::{Prefix, PrefixError};
use crate::run;

/// Which file, unless one is named.
const DEFAULT_FILE: &str = "./kong.yml";

const EXAMPLE: &str = include_str!("config/example.yml");

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
    #[command(flatten)]
    place: GroupPlace,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Write an example to begin with
    Init {
        /// Where to write it [default: ./kong.yml]
        file: Option<PathBuf>,
    },
    /// Say what is wrong with a file
    Parse {
        /// The file
        file: PathBuf,
    },
    /// Lay a file over what is in the database: all of it or, if something is wrong, nothing
    #[command(name = "db_import", alias = "db-import")]
    DbImport {
        /// The file
        file: PathBuf,
    },
    /// Write what is in the database to a file, which only its owner may read
    #[command(name = "db_export", alias = "db-export")]
    DbExport {
        /// Where to write it [default: ./kong.yml]
        file: Option<PathBuf>,
    },
}

pub(super) fn execute(args: &ConfigArgs, console: &Console) -> anyhow::Result<()> {
    let place = &args.place.place();
    let or_default = |file: &Option<PathBuf>| file.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    match &args.command {
        ConfigCommand::Init { file } => create(&or_default(file), EXAMPLE, 0o644),
        ConfigCommand::Parse { file } => {
            let options = options(place, console)?;
            let (document, _) = parse(file, &options)?;
            document.judged(&*options.judge()).map_err(failed_parsing)?;
            console.say("parse successful");
            Ok(())
        }
        ConfigCommand::DbImport { file } => import(file, &options(place, console)?, console),
        ConfigCommand::DbExport { file } => export(&or_default(file), &options(place, console)?),
    }
}

fn options(place: &Place, console: &Console) -> anyhow::Result<Options> {
    console.options(&settings_of_node(&place.sources(), console)?, Mode::Foreground)
}

/// Reads a file as the node of these options would.
fn parse(file: &Path, options: &Options) -> anyhow::Result<(Document, Timestamp)> {
    let text = bounded::read(file, bounded::DOCUMENT)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let now = SystemTime::now().into();
    let terms = Terms::of(options.routing.router_flavor, &*options.judge());
    let document = declarative::parse(&text, now, terms);
    Ok((document.map_err(failed_parsing)?, now))
}

fn failed_parsing(error: declarative::DeclarativeError) -> anyhow::Error {
    anyhow!("Failed parsing:\n{error}")
}

fn import(file: &Path, options: &Options, console: &Console) -> anyhow::Result<()> {
    let database = run::storage(options).context(
        "'config db_import' only works with a database.\n\
         With database = off, a configuration is loaded by POST /config of the Admin API,\n\
         or from declarative_config when the node starts or reloads",
    )?;
    let (document, read_at) = parse(file, options)?;
    console.say("parse successful, beginning import");
    // Whoever has a file for itself is the only one that writes: what another wrote, it would not know of.
    let prefix = Prefix::enter(&options.prefix)?;
    let is_file = matches!(database.storage, admin::Storage::Sqlite(_));
    let _lock = is_file.then(|| prefix.lock().map_err(while_running)).transpose()?;
    tell_log();
    let who = format!("{}, by the command line", user());
    let imported = runtime()?.block_on(admin::import(&database, document, read_at, &who));
    let imported = imported.map_err(|error| anyhow!("Failed importing:\n{}", chain(&error)))?;
    console.say("import successful");
    let (entities, revision) = (imported.entities, imported.revision);
    let what = if imported.is_new { "the database is now at" } else { "nothing changed, at" };
    console.add(format_args!("{entities} entities; {what} revision {revision}"));
    Ok(())
}

fn while_running(error: PrefixError) -> anyhow::Error {
    match error {
        PrefixError::Taken { pid, .. } => anyhow!(
            "the node of this prefix is running (pid {pid}) and does not expect another to write to its \
             database: stop it first, or use its Admin API"
        ),
        other => other.into(),
    }
}

fn export(file: &Path, options: &Options) -> anyhow::Result<()> {
    let database =
        run::storage(options).context("'config db_export' only works with a database.")?;
    refuse_to_overwrite(file)?;
    if let admin::Storage::Sqlite(path) = &database.storage {
        ensure!(path.exists(), "there is no database at {}", path.display());
    }
    tell_log();
    create(file, &runtime()?.block_on(admin::export(&database))?, 0o600)
}

fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

/// Has what the database says told here, where there is no log.
fn tell_log() {
    let layer = tracing_subscriber::fmt().with_writer(io::stderr).without_time();
    let _ = layer.with_max_level(LevelFilter::WARN).with_target(false).try_init(); // once per process
}

/// Who is asking, by the number the system has for them.
fn user() -> String {
    format!("user {}", rustix::process::getuid().as_raw())
}

fn refuse_to_overwrite(file: &Path) -> anyhow::Result<()> {
    ensure!(!file.exists(), "{} already exists.\nWill not overwrite it.", file.display());
    Ok(())
}

/// Writes a new file, whole or not at all.
fn create(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    refuse_to_overwrite(path)?;
    let new = File::options().write(true).create_new(true).mode(mode).open(path);
    let written = new.and_then(|mut file| {
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.inspect_err(|_| drop(std::fs::remove_file(path)))
    });
    if let Err(error) = written {
        bail!("could not write {}: {error}", path.display());
    }
    Ok(())
}
