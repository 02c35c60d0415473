//! Commands about a node that runs: `stop`, `quit`, `reload`, `health`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;

use super::console::Console;
use super::{Place, QuitArgs, ReloadArgs};
use crate::conf::saved::Saved;
use crate::conf::{BadLine, Settings, Sources};
use crate::options::{self, Mode, Options};
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
    let (saved, settings) = settle_over(&prefix, &sources, console)?;
    // The node looks its secrets up where it runs; this shell may not have them.
    let environment = running.environment();
    let settings = settings.looked_up_in(environment.clone());

    let detached = saved.as_ref().is_some_and(|saved| saved.detached);
    let mode = if detached { Mode::Detached } else { Mode::Foreground };
    let next = console.options(&settings, mode)?;
    ensure!(
        next.prefix == prefix.path(),
        "the prefix of a running node can not change; restart it"
    );
    let now = saved.as_ref().map(|saved| saved.settings().looked_up_in(environment));
    let now = now.and_then(|settings| Options::read(&settings, mode).ok());
    if let Some(now) = &now {
        ensure!(
            now.role.name() == next.role.name(),
            "the role of a running node can not change; restart it"
        );
    }
    let runs_with = saved.and_then(|saved| saved.running).or(now.map(|now| now.texts));
    let mut next_saved = Saved::of(&settings, detached);
    next_saved.running = runs_with.as_ref().map(|texts| options::taken_up(texts, &next.texts));
    next_saved.write(prefix.path()).context("could not write the prefix")?;
    running.signal(Signal::HUP)?;
    match &runs_with {
        Some(texts) => options::waiting(texts, &next.texts)
            .for_each(|name| console.warn(format_args!("{name} {}", options::WAITS))),
        None => console.warn("what waits for the next restart, only the node's log says"),
    }
    console.say(format_args!("{} reloaded", console.name));
    Ok(())
}

/// What the node in this prefix was started with, and what it should be now. Where the prefix could not
/// keep the former, what the command is given counts, and then it must be given something.
pub(super) fn settle_over(
    prefix: &Prefix,
    sources: &Sources,
    console: &Console,
) -> anyhow::Result<(Option<Saved>, Settings)> {
    let saved = Saved::read(prefix.path())
        .context("could not read how the node was started, from its prefix")?;
    let settings = match &saved {
        Some(saved) => sources.settle_over(saved)?,
        None => {
            let settings = sources.settle()?;
            ensure!(
                settings.iter().any(|(name, _)| name != "prefix"),
                "the prefix does not say how the node was started; name its configuration with -c"
            );
            console.warn(
                "the prefix does not say how the node was started: what this command is given counts",
            );
            settings
        }
    };
    console.show(&settings);
    Ok((saved, settings))
}

/// What the node in the prefix runs with, or where none does, would start with.
pub(super) fn settings_of_node(sources: &Sources, console: &Console) -> anyhow::Result<Settings> {
    let path = prefix_at(sources)?;
    let Some(saved) = Saved::read(&path)? else { return console.settle(sources) };
    let running = Prefix::existing(&path)?.running()?;
    let settings = saved.settings();
    Ok(match running {
        Some(running) => settings.looked_up_in(running.environment()),
        None => settings,
    })
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
    Ok(options::prefix_of(&settings)?)
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
