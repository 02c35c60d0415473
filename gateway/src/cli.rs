//! The commands, and nothing about what they do.
//!
//! Names, options, messages and exit codes are those of Kong's command line, so that its recipes run
//! as they are; called by the name `kong`, the messages say Kong too. Whatever goes wrong ends as
//! `Error: …` on stderr and exit code 1.

mod admin;
mod config;
mod console;
mod control;
mod drain;
mod explain;
mod files;
mod hybrid;
mod migrations;
mod start;
mod vault;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use crate::conf::Sources;
use crate::notify;
use crate::run::Starting;
use console::{Console, Name, Verbosity};

/// An API gateway whose control plane and data planes are separate processes.
#[derive(Debug, Parser)]
#[command(name = "gateway", version = model::VERSION, disable_help_subcommand = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: VerbosityArgs,
}

#[derive(Clone, Copy, Debug, Args)]
struct VerbosityArgs {
    /// Say which configuration is read and what is decided
    #[arg(long, global = true)]
    v: bool,
    /// Say every setting too, and where it came from
    #[arg(long, global = true)]
    vv: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node; in the foreground unless told otherwise
    Start(StartArgs),
    /// Stop a running node at once
    Stop(Place),
    /// Stop a running node once it has finished what it is doing
    Quit(QuitArgs),
    /// Stop a node, if it runs, and start it again
    Restart(StartArgs),
    /// Have a running node take up its changed configuration
    Reload(ReloadArgs),
    /// Make the prefix directory and nothing else
    Prepare(PrepareArgs),
    /// Have a running node say that it is not ready, so that traffic goes elsewhere
    Drain(Place),
    /// Say whether a node is running
    Health(Place),
    /// Say what is wrong with a configuration file
    Check(CheckArgs),
    /// Say which route serves a request, and why no other
    Explain(Box<explain::ExplainArgs>),
    /// Print the version
    Version(VersionArgs),
    /// Use files with the whole configuration
    Config(config::ConfigArgs),
    /// Make what the planes of a cluster need
    Hybrid(hybrid::HybridArgs),
    /// Look after the tables of a shared database
    Migrations(migrations::MigrationsArgs),
    /// Make what clients of the Admin API need
    Admin(admin::AdminArgs),
    /// Look secrets up that the configuration refers to
    Vault(vault::VaultArgs),
}

/// Which node a command is about.
#[derive(Debug, Args)]
struct Place {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// Prefix directory, over what the configuration says
    #[arg(short, long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

/// The same for commands that have commands, before or behind whose names it may stand, as in Kong.
#[derive(Debug, Args)]
struct GroupPlace {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", global = true)]
    conf: Option<PathBuf>,
    /// Prefix directory, over what the configuration says
    #[arg(short, long, value_name = "DIR", global = true)]
    prefix: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StartArgs {
    #[command(flatten)]
    place: Place,
    /// Leave the terminal once the node serves
    #[arg(long)]
    daemon: bool,
    #[command(flatten)]
    kongs: KongsArgs,
    /// Set by `--daemon` on the process that stays
    #[arg(long, hide = true)]
    detached: bool,
}

/// Options of Kong's.
#[derive(Debug, Args)]
struct KongsArgs {
    /// Bring a shared database up to date first; the embedded one always is
    #[arg(long)]
    run_migrations: bool,
    /// Accepted: pg_timeout is how long the database may take
    #[arg(long, value_name = "SECONDS")]
    db_timeout: Option<f64>,
    /// How long to wait for other nodes that migrate the database
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = migrations::seconds)]
    lock_timeout: Duration,
    #[command(flatten)]
    nginx: NginxArgs,
}

/// Options about nginx: refused, as what they say would not happen.
#[derive(Debug, Args)]
struct NginxArgs {
    #[arg(long, value_name = "FILE", hide = true)]
    nginx_conf: Option<PathBuf>,
    #[arg(long, value_name = "FLAGS", hide = true)]
    nginx_conf_flags: Option<String>,
}

#[derive(Debug, Args)]
struct QuitArgs {
    #[command(flatten)]
    place: Place,
    /// Seconds to finish in, before the node is stopped at once
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    /// Seconds to wait before it begins
    #[arg(short, long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

#[derive(Debug, Args)]
struct ReloadArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    nginx: NginxArgs,
}

#[derive(Debug, Args)]
struct PrepareArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    nginx: NginxArgs,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The file; by default the one that `start` would read
    #[arg(value_name = "FILE")]
    conf: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct VersionArgs {
    /// Name the release of Kong that this one is compatible with, too
    #[arg(short, long)]
    all: bool,
}

/// Runs the command this process was called with.
pub fn main() -> ExitCode {
    // First, as a signal does not wait until the command line is understood.
    let starting = may_become_a_node().then(Starting::begin).transpose();
    let name = Name::called();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, name),
    };
    let VerbosityArgs { v, vv } = cli.verbosity;
    let console = Console::new(name, Verbosity::of(v, vv));
    let done = starting.map_err(Into::into).and_then(|s| cli.command.execute(s, &console));
    match done {
        Ok(code) => code,
        Err(error) => {
            let text = format!("{error:#}");
            notify::status(&text);
            console.fail(&text);
            ExitCode::FAILURE
        }
    }
}

/// As far as can be told from the words of the command line: those of the commands that start nodes.
fn may_become_a_node() -> bool {
    env::args_os().skip(1).any(|word| word == "start" || word == "restart")
}

impl Command {
    fn execute(self, starting: Option<Starting>, console: &Console) -> anyhow::Result<ExitCode> {
        let begun = || starting.map_or_else(Starting::begin, Ok);
        match self {
            Self::Start(args) => start::start(&args, begun()?, console)?,
            Self::Stop(place) => control::stop(&place, console)?,
            Self::Quit(args) => control::quit(&args, console)?,
            Self::Restart(args) => start::restart(&args, begun()?, console)?,
            Self::Reload(args) => control::reload(&args, console)?,
            Self::Prepare(args) => files::prepare(&args, console)?,
            Self::Drain(place) => drain::drain(&place, console)?,
            Self::Health(place) => control::health(&place, console)?,
            Self::Check(args) => files::check(&args, console)?,
            Self::Explain(args) => return explain::explain(&args, console),
            Self::Version(args) => files::version(&args, console)?,
            Self::Config(args) => config::execute(&args, console)?,
            Self::Hybrid(args) => hybrid::execute(&args, console)?,
            Self::Migrations(args) => return migrations::execute(&args, console),
            Self::Admin(args) => admin::execute(&args, console)?,
            Self::Vault(args) => vault::execute(&args, console)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Place {
    fn sources(&self) -> Sources {
        Sources::of_process(self.conf.clone(), self.prefix.as_deref())
    }
}

impl GroupPlace {
    fn place(&self) -> Place {
        Place { conf: self.conf.clone(), prefix: self.prefix.clone() }
    }
}

impl KongsArgs {
    /// How long to wait for the turn to migrate, if that is to be done.
    fn migrate(&self) -> Option<Duration> {
        self.run_migrations.then_some(self.lock_timeout)
    }
}

impl NginxArgs {
    fn refuse(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.nginx_conf.is_none() && self.nginx_conf_flags.is_none(),
            "--nginx-conf and --nginx-conf-flags are not supported: there is no nginx underneath"
        );
        Ok(())
    }
}

/// What was asked for by `--help`, or what was wrong with the command line.
fn usage(error: &clap::Error, name: Name) -> ExitCode {
    let console = Console::new(name, Verbosity::Loud);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            console.help(&error.to_string());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            console.complain(error);
            ExitCode::FAILURE
        }
        _ => {
            console.fail(&complaint(error));
            ExitCode::FAILURE
        }
    }
}

/// Commands that have commands.
const GROUPS: [&str; 5] = ["admin", "config", "hybrid", "migrations", "vault"];

fn complaint(error: &clap::Error) -> String {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        let text = error.to_string();
        return text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned();
    };
    let group = env::args().nth(1).filter(|group| GROUPS.contains(&group.as_str()));
    let group = group.map(|group| format!(" for {group}")).unwrap_or_default();
    format!("No such command{group}: {word}\n\nFor more information, try '--help'.")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
