//! `explain`: which route serves a request, and why no other.
//!
//! Asked of a running node's Admin API, or of a declarative file, which needs no node. What
//! is wrong with the request is told all together, before anybody is asked. The exit code is
//! 0 if a route serves it and 1 if none does, or if it could not be asked: then `Error: …`
//! on stderr says why.

mod ask; // the Admin API
mod given; // the command line as a question
mod text; // an explanation for people

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Args;
use model::explain::{Explanation, Question};
use model::{Terms, declarative};
use serde_json::Value;

use super::Place;
use super::console::Console;
use crate::bounded;
use crate::options::{Mode, Options};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gateway explain https://api.example.com/v1/users -X POST -H 'x-version: 2'
  gateway explain --file kong.yml --host api.example.com --path /v1/users

The exit code is 0 if a route serves the request, 1 if none does.")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    given: given::Given,
    #[command(flatten)]
    place: Place,
    /// Ask the Admin API at this URL rather than that of the configuration
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    admin: Option<String>,
    /// File with the token that the Admin API asks for
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    token_file: Option<PathBuf>,
    /// Ask a declarative configuration, without any node
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Tell more of the routes that lost or nearly match: up to 1,000 of each
    #[arg(long)]
    all: bool,
    /// Print JSON, as POST /debug/route of the Admin API answers
    #[arg(long)]
    json: bool,
}

/// How many routes `--all` tells of.
const ALL: u16 = 1000;

pub(super) fn explain(args: &ExplainArgs, console: &Console) -> anyhow::Result<ExitCode> {
    let question = args.given.question(args.all.then_some(ALL))?;
    let answer = match (&args.file, &args.admin) {
        // Routes are read as the node of this configuration reads them.
        (Some(file), _) => {
            let settings = console.settle(&args.place.sources())?;
            ask_file(file, &console.options(&settings, Mode::Foreground)?, &question)?
        }
        (None, url) => {
            let url = match url {
                Some(url) => url.clone(),
                None => ask::admin_of(&args.place, console)?,
            };
            let token = args.token_file.as_deref().map(ask::token).transpose()?;
            ask::at(&url, token.as_deref(), &question)?
        }
    };
    let explanation: Explanation = serde_json::from_value(answer.clone())
        .context("the Admin API answered something else than an explanation")?;
    if args.json {
        console.say(format_args!("{answer:#}"));
    } else {
        console.say(text::text(&explanation).trim_end());
    }
    Ok(if explanation.matched.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ask_file(file: &Path, options: &Options, question: &Question) -> anyhow::Result<Value> {
    let name = file.display();
    let text =
        bounded::read(file, bounded::DOCUMENT).with_context(|| format!("cannot read {name}"))?;
    let judge = options.judge();
    let terms = Terms::of(options.routing.router_flavor, &*judge);
    let document = declarative::parse(&text, SystemTime::now().into(), terms);
    let document = document.with_context(|| name.to_string())?;
    match judge.explain(&document.config, question) {
        Ok(explanation) => Ok(serde_json::to_value(explanation)?),
        Err(problems) => {
            let error = declarative::DeclarativeError::Invalid(document.blame(&problems));
            bail!("{name}: {error}")
        }
    }
}
