//! Commands about a node that runs: `stop`, `quit`, `reload`, `health`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;

use super::console::Console;
use super::{Place, QuitArgs, ReloadArgs};
use crate::conf::saved::Saved;
use crate::conf::{BadLine, Sources};
use crate::options::{self, Mode};
use crate::prefix::{Prefix, Running};

/// How long a process may take to end at once.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn stop(place: &Place, console: &Console) -> anyhow::Result<()> {
    let running = running(&place.sources(), console)?.1;
    end_now(&running)?;
    console.say(format_args!("{} stopped", console.name));
    Ok(())
}

pub(super) fn quit(args: &QuitArgs, console: &Console) -> anyhow::Result<()> {
    let running = running(&args.place.sources(), console)?.1;
    if args.wait > 0 && running.ended_within(Duration::from_secs(args.wait))? {
        bail!("{} stopped while waiting (unexpected)", console.name);
    }
    running.signal(Signal::QUIT)?;
    if running.ended_within(Duration::from_secs(args.timeout.max(1)))? {
        console.say(format_args!("{} stopped (gracefully)", console.name));
    } else {
        end_now(&running)?;
        console.say(format_args!("Timeout, {} stopped forcefully", console.name));
    }
    Ok(())
}

pub(super) fn reload(args: &ReloadArgs, console: &Console) -> anyhow::Result<()> {
    args.nginx.refuse()?;
    let sources = args.place.sources();
    let (prefix, running) = running(&sources, console)?;
    let saved =
        Saved::read(prefix.path())?.context("the prefix does not say how the node was started")?;
    let settings = sources.settle_over(&saved)?;
    console.show(&settings);

    let mode = if saved.detached { Mode::Detached } else { Mode::Foreground };
    let (now, next) =
        (options::Options::read(&saved.settings(), mode), console.options(&settings, mode)?);
    ensure!(
        next.prefix == prefix.path(),
        "the prefix of a running node can not change; restart it"
    );
    if let Ok(now) = now {
        ensure!(
            now.role.name() == next.role.name(),
            "the role of a running node can not change; restart it"
        );
    }
    Saved::of(&settings, saved.detached)
        .write(prefix.path())
        .context("could not write the prefix")?;
    running.signal(Signal::HUP)?;
    console.say(format_args!("{} reloaded", console.name));
    Ok(())
}

pub(super) fn health(place: &Place, console: &Console) -> anyhow::Result<()> {
    let prefix = Prefix::existing(&prefix_at(&place.sources())?)?;
    let state = if prefix.running()?.is_some() { "running" } else { "not running" };
    console.say(format_args!("gateway.......{state}\n"));
    ensure!(state == "running", "{} is not running at {}", console.name, prefix.path().display());
    console.say(format_args!("{} is healthy at {}", console.name, prefix.path().display()));
    Ok(())
}

/// Where the node is that these sources are about, whatever else is wrong with them.
pub(super) fn prefix_at(sources: &Sources) -> anyhow::Result<PathBuf> {
    let settings = sources.settle()?;
    if let (None, Some(BadLine { at, what })) = (settings.get("prefix"), settings.bad_lines.first())
    {
        bail!("{at}: {what}"); // it may have been the prefix: better none than another node's
    }
    Ok(options::prefix_of(&settings))
}

fn running(sources: &Sources, console: &Console) -> anyhow::Result<(Prefix, Running)> {
    let prefix = Prefix::existing(&prefix_at(sources)?)?;
    match prefix.running()? {
        Some(running) => Ok((prefix, running)),
        None => bail!("{} is not running at {}", console.name, prefix.path().display()),
    }
}

fn end_now(running: &Running) -> anyhow::Result<()> {
    running.signal(Signal::TERM)?;
    let ended = running.ended_within(STOP_PATIENCE)?;
    ensure!(ended, "process {} has not ended after {} s", running.pid, STOP_PATIENCE.as_secs());
    Ok(())
}
