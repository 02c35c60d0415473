//! Commands that start nothing: `prepare`, `check`, `version`.

use anyhow::Context;

use super::console::Console;
use super::{CheckArgs, PrepareArgs, VersionArgs};
use crate::conf::saved::Saved;
use crate::conf::{SEARCH, Sources};
use crate::options::Mode;
use crate::prefix::Prefix;
use crate::run;

pub(super) fn prepare(args: &PrepareArgs, console: &Console) -> anyhow::Result<()> {
    args.nginx.refuse()?;
    let settings = console.settle(&args.place.sources())?;
    let options = console.options(&settings, Mode::Foreground)?;
    let prefix = Prefix::prepare(&options.prefix)?;
    if prefix.running()?.is_none() {
        Saved::of(&settings, false).write(prefix.path()).context("could not write the prefix")?;
    }
    Ok(())
}

pub(super) fn check(args: &CheckArgs, console: &Console) -> anyhow::Result<()> {
    let settings = console.settle(&Sources::of_process(args.conf.clone(), None))?;
    let file =
        settings.file.clone().with_context(|| format!("no file at: {}", SEARCH.join(", ")))?;
    run::check(&console.options(&settings, Mode::Foreground)?)?;
    console.say(format_args!(
        "configuration at {} is valid",
        args.conf.as_ref().unwrap_or(&file).display()
    ));
    Ok(())
}

pub(super) fn version(args: &VersionArgs, console: &Console) -> anyhow::Result<()> {
    console.say(model::VERSION);
    if args.all {
        console.say(format_args!("Kong compatibility: {}", model::COMPAT));
    }
    Ok(())
}
