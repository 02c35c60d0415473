//! `start` and `restart`: from settings to a process that serves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use model::severity;
use rustix::process::Signal;
use tokio::runtime;

use super::StartArgs;
use super::console::{Console, Name};
use super::control::prefix_at;
use crate::conf::Settings;
use crate::conf::saved::Saved;
use crate::options::{Destination, Mode, Notice, Options};
use crate::prefix::{Lock, Prefix, PrefixError};
use crate::telemetry::Telemetry;
use crate::{daemon, notify, run};

/// How long `restart` waits for the old process.
const RESTART_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn start(args: &StartArgs, console: &Console) -> anyhow::Result<()> {
    args.kongs.nginx.refuse()?;
    if args.detached {
        let path = args.place.prefix.as_deref().context("--detached needs --prefix")?;
        return go_on_detached(path, console);
    }
    let settings = console.settle(&args.place.sources())?;
    begin(&settings, args.daemon, console)
}

pub(super) fn restart(args: &StartArgs, console: &Console) -> anyhow::Result<()> {
    args.kongs.nginx.refuse()?;
    let sources = args.place.sources();
    let path = prefix_at(&sources)?;
    let running =
        Prefix::existing(&path).ok().map(|prefix| prefix.running()).transpose()?.flatten();
    let Some(running) = running else {
        return begin(&console.settle(&sources)?, args.daemon, console);
    };
    let saved = Saved::read(&path)?.unwrap_or_default();
    let settings = sources.settle_over(&saved)?;
    console.show(&settings);
    console.options_of_log(&settings, Mode::Foreground)?; // a mistake must not cost the node that runs
    running.signal(Signal::TERM)?;
    if !running.ended_within(RESTART_PATIENCE)? {
        bail!("process {} has not ended after {} s", running.pid, RESTART_PATIENCE.as_secs());
    }
    begin(&settings, args.daemon || saved.detached, console)
}

fn begin(settings: &Settings, daemon: bool, console: &Console) -> anyhow::Result<()> {
    let options = console.options_of_log(settings, Mode::Foreground)?;
    let prefix = Prefix::prepare(&options.prefix)?;
    let detaches = daemon || options.daemon.unwrap_or(console.name == Name::Kong);
    if !detaches {
        let lock = prefix.lock().map_err(|error| in_name_of(console.name, error))?;
        Saved::of(settings, false).write(prefix.path()).context("could not write the prefix")?;
        return live(options, lock);
    }
    prefix.refuse_running().map_err(|error| in_name_of(console.name, error))?;
    console.options(settings, Mode::Detached)?;
    Saved::of(settings, true).write(prefix.path()).context("could not write the prefix")?;
    notify::handed_to(daemon::spawn(&prefix)?);
    console.say(format_args!("{} started", console.name));
    Ok(())
}

/// The life of the process that `--daemon` leaves behind.
fn go_on_detached(path: &Path, console: &Console) -> anyhow::Result<()> {
    daemon::leave_session()?;
    let prefix = Prefix::existing(path)?;
    let lock = prefix.lock()?;
    let saved = Saved::read(prefix.path())?.context("the prefix holds no configuration")?;
    live(console.options_of_log(&saved.settings(), Mode::Detached)?, lock)
}

fn live(options: Options, lock: Lock) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&options.logs)?;
    for notice in &options.notices {
        match notice {
            Notice::Info(text) => tracing::info!("{text}"),
            Notice::Warning(text) => tracing::warn!("{text}"),
        }
    }
    let logs_elsewhere = options.logs.error != Destination::Stderr;
    let runtime =
        runtime::Builder::new_multi_thread().thread_name("background").enable_all().build()?;
    let end = runtime.block_on(run::run(options, &telemetry));
    if let (Err(error), true) = (&end, logs_elsewhere) {
        tracing::error!(name: severity::EMERG, "{error:#}"); // stderr, where the command's last words go, may be read by nobody
    }
    drop(runtime);
    drop(telemetry);
    drop(lock); // last: whoever starts next finds nothing of ours still writing
    end
}

fn in_name_of(name: Name, error: PrefixError) -> anyhow::Error {
    match error {
        PrefixError::Taken { .. } | PrefixError::Unseen(_) => anyhow::anyhow!("{name} is {error}"),
        other => other.into(),
    }
}
