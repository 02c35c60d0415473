//! `migrations`: what makes a server's database ours, and brings an old one up to date.
//!
//! SQLite does both by itself, at start. Exit codes of `list` are Kong's, so that recipes can ask: 3 for
//! a database that is not bootstrapped, 4 for one that is to be finished, 5 for one that is to be brought up.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use admin::{Migrations, Postgres, State};
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;

use super::console::Console;
use crate::conf::Sources;
use crate::options::{Database, Mode, Role};

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct MigrationsArgs {
    #[command(subcommand)]
    command: MigrationsCommand,
    /// Do not ask
    #[arg(short, long, global = true)]
    yes: bool,
    /// Say only what goes wrong
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Go on although the last upgrade is not finished
    #[arg(short, long, global = true)]
    force: bool,
    /// How long each migration may take
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    db_timeout: Duration,
    /// How long to wait for other nodes that migrate
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    lock_timeout: Duration,
    /// Configuration file
    #[arg(short, long, global = true, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// Prefix directory, over what the configuration says
    #[arg(short, long, global = true, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum MigrationsCommand {
    /// Make the tables
    Bootstrap,
    /// Run what is new and what nodes of the version before can live with
    Up,
    /// Run the rest, once those nodes are gone
    Finish,
    /// Say what was run and what is to be
    List,
    /// Remove the tables with all that is in them
    Reset,
    /// Say the same as `list`, as JSON
    Status,
}

/// Seconds, with a fraction or without.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|_| "expected seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "expected seconds".to_owned())
}

pub(super) fn execute(args: &MigrationsArgs, console: &Console) -> anyhow::Result<ExitCode> {
    let settings =
        console.settle(&Sources::of_process(args.conf.clone(), args.prefix.as_deref()))?;
    let options = console.options(&settings, Mode::Foreground)?;
    let (Role::Traditional { admin, .. } | Role::ControlPlane { admin, .. }) = &options.role else {
        bail!("a data plane has no database");
    };
    let console = Speech { console, is_quiet: args.quiet };
    match &admin.database {
        Database::Postgres(server) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let done = runtime.block_on(on_server(args, server, &console));
            done.with_context(|| format!("the database {server}"))
        }
        Database::Sqlite(file) => {
            let file = file.display();
            if matches!(args.command, MigrationsCommand::Reset) {
                bail!("to begin anew, stop the node and remove {file}");
            }
            console.say(format_args!("{file} is made and brought up to date by `start`"));
            Ok(ExitCode::SUCCESS)
        }
        Database::Off(_) => bail!("database = off: there is nothing to migrate"),
    }
}

async fn on_server(
    args: &MigrationsArgs,
    server: &Postgres,
    console: &Speech<'_>,
) -> anyhow::Result<ExitCode> {
    let mut database = Migrations::connect(server, args.db_timeout).await?;
    let code = match args.command {
        MigrationsCommand::List => list(&database.state().await?, console),
        MigrationsCommand::Status => status(&database.state().await?, console),
        MigrationsCommand::Reset => reset(args, server, &mut database, console).await?,
        MigrationsCommand::Bootstrap | MigrationsCommand::Up | MigrationsCommand::Finish => {
            database.take_turn(args.lock_timeout).await?;
            change(args, &mut database, console).await?;
            ExitCode::SUCCESS
        }
    };
    database.close().await;
    Ok(code)
}

/// Runs what is to be run, in its turn.
async fn change(
    args: &MigrationsArgs,
    database: &mut Migrations,
    console: &Speech<'_>,
) -> anyhow::Result<()> {
    let state = database.state().await?;
    let ran = match args.command {
        MigrationsCommand::Bootstrap if state.bootstrapped => {
            console.say("Database already bootstrapped");
            return Ok(());
        }
        MigrationsCommand::Bootstrap => database.up().await?,
        _ if !state.bootstrapped => bail!("{NOT_BOOTSTRAPPED}"),
        MigrationsCommand::Up => {
            ensure!(
                state.pending.is_empty() || args.force,
                "the last upgrade is not finished; run `gateway migrations finish` once no node of the version \
                 before is left"
            );
            database.up().await?
        }
        _ => database.finish().await?,
    };
    for name in &ran {
        console.say(format_args!("{name} executed"));
    }
    let count = ran.len();
    console.say(format_args!("{count} migration{} processed", if count == 1 { "" } else { "s" }));
    let left = database.state().await?;
    console.say(match (left.pending.is_empty(), left.new.is_empty()) {
        (true, true) => "Database is up-to-date",
        (false, _) => FINISH,
        (true, false) => UP,
    });
    Ok(())
}

async fn reset(
    args: &MigrationsArgs,
    server: &Postgres,
    database: &mut Migrations,
    console: &Speech<'_>,
) -> anyhow::Result<ExitCode> {
    if !database.state().await?.bootstrapped {
        console.say("Database not bootstrapped, nothing to reset");
        return Ok(ExitCode::FAILURE);
    }
    if !args.yes {
        ensure!(io::stdin().is_terminal(), "not a terminal: say --yes to remove everything");
        console
            .console
            .say(format_args!("Everything in {server} is going to be lost. Type yes to go on."));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            console.say("Nothing was removed");
            return Ok(ExitCode::FAILURE);
        }
    }
    database.take_turn(args.lock_timeout).await?;
    database.reset().await?;
    console.say("Database successfully reset");
    Ok(ExitCode::SUCCESS)
}

const NOT_BOOTSTRAPPED: &str =
    "the database is not bootstrapped; run `gateway migrations bootstrap`";
const FINISH: &str = "Run `gateway migrations finish` once no node of the version before is left";
const UP: &str = "Run `gateway migrations up` to go on";

fn list(state: &State, console: &Speech<'_>) -> ExitCode {
    if !state.bootstrapped {
        console.say(NOT_BOOTSTRAPPED);
        return ExitCode::from(3);
    }
    let lists = [
        ("Executed migrations", &state.executed),
        ("Pending migrations", &state.pending),
        ("New migrations available", &state.new),
        ("Migrations of a newer version", &state.unknown),
    ];
    for (title, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        console.say(format_args!("{title}:\n  {}", names.join("\n  ")));
    }
    if !state.pending.is_empty() {
        console.say(FINISH);
        return ExitCode::from(4);
    }
    if !state.new.is_empty() {
        console.say(UP);
        return ExitCode::from(5);
    }
    ExitCode::SUCCESS
}

fn status(state: &State, console: &Speech<'_>) -> ExitCode {
    console.say(json!({
        "needs_bootstrap": !state.bootstrapped,
        "executed_migrations": state.executed,
        "pending_migrations": state.pending,
        "new_migrations": state.new,
    }));
    ExitCode::SUCCESS
}

/// A console that may have been told to be quiet.
struct Speech<'a> {
    console: &'a Console,
    is_quiet: bool,
}

impl Speech<'_> {
    fn say(&self, text: impl std::fmt::Display) {
        if !self.is_quiet {
            self.console.say(text);
        }
    }
}
