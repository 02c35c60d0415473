//! `start` and `restart`: from settings to a process that serves.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use model::severity;
use rustix::process::Signal;

use super::StartArgs;
use super::console::{Console, Name};
use super::control::{prefix_at, settle_over};
use crate::conf::Settings;
use crate::conf::saved::Saved;
use crate::options::{Destination, Mode, Notice, Options};
use crate::prefix::{Lock, Prefix, PrefixError};
use crate::run::Starting;
use crate::telemetry::Telemetry;
use crate::{daemon, notify, run};

/// How long `restart` waits for the old process.
const RESTART_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn start(args: &StartArgs, starting: Starting, console: &Console) -> anyhow::Result<()> {
    args.kongs.nginx.refuse()?;
    if args.detached {
        let path = args.place.prefix.as_deref().context("--detached needs --prefix")?;
        return go_on_detached(path, args.kongs.migrate(), starting, console);
    }
    let settings = console.settle(&args.place.sources())?;
    begin(&settings, args, args.daemon, starting, console)
}

pub(super) fn restart(
    args: &StartArgs,
    starting: Starting,
    console: &Console,
) -> anyhow::Result<()> {
    args.kongs.nginx.refuse()?;
    let sources = args.place.sources();
    let path = prefix_at(&sources)?;
    let running =
        Prefix::existing(&path).ok().map(|prefix| prefix.running()).transpose()?.flatten();
    let Some(running) = running else {
        return begin(&console.settle(&sources)?, args, args.daemon, starting, console);
    };
    let (saved, settings) = settle_over(&Prefix::existing(&path)?, &sources, console)?;
    console.options_of_log(&settings, Mode::Foreground)?; // a mistake must not cost the node that runs
    running.signal(Signal::TERM)?;
    if !running.ended_within(RESTART_PATIENCE)? {
        bail!("process {} has not ended after {} s", running.pid, RESTART_PATIENCE.as_secs());
    }
    let detached = saved.is_some_and(|saved| saved.detached);
    begin(&settings, args, args.daemon || detached, starting, console)
}

fn begin(
    settings: &Settings,
    args: &StartArgs,
    daemon: bool,
    starting: Starting,
    console: &Console,
) -> anyhow::Result<()> {
    let mut options = console.options_of_log(settings, Mode::Foreground)?;
    options.migrate = args.kongs.migrate();
    let prefix = Prefix::enter(&options.prefix)?;
    let detaches = daemon || options.daemon.unwrap_or(console.name == Name::Kong);
    if !detaches {
        let lock = prefix.lock().map_err(|error| in_name_of(console.name, error))?;
        return live(options, &Saved::of(settings, false), lock, starting);
    }
    prefix.refuse_running().map_err(|error| in_name_of(console.name, error))?;
    console.options(settings, Mode::Detached)?;
    let words = options.migrate.map(|patience| {
        vec!["--run-migrations".to_owned(), format!("--lock-timeout={}", patience.as_secs_f64())]
    });
    let saved = Saved::of(settings, true);
    notify::handed_to(daemon::spawn(&prefix, &saved, &words.unwrap_or_default())?);
    console.say(format_args!("{} started", console.name));
    Ok(())
}

/// The life of the process that `--daemon` leaves behind.
fn go_on_detached(
    path: &Path,
    migrate: Option<Duration>,
    starting: Starting,
    console: &Console,
) -> anyhow::Result<()> {
    daemon::leave_session()?;
    let saved = Saved::take_over(io::stdin()).context("could not take over the settings")?;
    let lock = Prefix::existing(path)?.lock()?;
    let mut options = console.options_of_log(&saved.settings(), Mode::Detached)?;
    options.migrate = migrate;
    live(options, &saved, lock, starting)
}

fn live(mut options: Options, saved: &Saved, lock: Lock, starting: Starting) -> anyhow::Result<()> {
    starting.leaves(lock.pid_file());
    options.notices.extend(leave_traces(saved, &options.prefix, &lock));
    let telemetry = Telemetry::start(&options.logs)?;
    for notice in &options.notices {
        match notice {
            Notice::Info(text) => tracing::info!("{text}"),
            Notice::Warning(text) => tracing::warn!("{text}"),
        }
    }
    let logs_elsewhere = options.logs.error != Destination::Stderr;
    let (runtime, signals) = starting.go_on();
    let end = runtime.block_on(run::run(options, &telemetry, signals));
    if let (Err(error), true) = (&end, logs_elsewhere) {
        tracing::error!(name: severity::EMERG, "{error:#}"); // stderr, where the command's last words go, may be read by nobody
    }
    drop(runtime);
    drop(telemetry);
    drop(lock); // last: whoever starts next finds nothing of ours still writing
    end
}

/// Leaves in the prefix what commands and tools look for there. A disk that is full is no reason not to
/// serve what is on it: what could not be written is returned, as the warnings it is.
fn leave_traces(saved: &Saved, prefix: &Path, lock: &Lock) -> Vec<Notice> {
    let unsaved = saved.write_or_remove(prefix).err().map(|error| {
        format!(
            "could not write the prefix: {error}; until there is room, `reload` fails, and `restart` goes \
             by what it is given, not by what this node was started with"
        )
    });
    let unnumbered =
        lock.write_pid().err().map(|error| format!("{:#}", anyhow::Error::from(error)));
    unsaved.into_iter().chain(unnumbered).map(Notice::Warning).collect()
}

fn in_name_of(name: Name, error: PrefixError) -> anyhow::Error {
    match error {
        PrefixError::Taken { .. } | PrefixError::Unseen(_) => anyhow::anyhow!("{name} is {error}"),
        other => other.into(),
    }
}
