//! Asking the Admin API of a node.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use model::explain::Question;
use serde_json::Value;
use tokio::runtime;

use crate::bounded;
use crate::cli::Place;
use crate::cli::console::Console;
use crate::cli::control::settings_of_node;
use crate::cli::drain::reachable;
use crate::options::{Mode, Role};

/// A node that has yet to compile a large configuration takes a while.
const PATIENCE: Duration = Duration::from_secs(30);

/// No explanation is as long.
const LONGEST: usize = 16 << 20;

/// Where the node that this configuration is about, or the one that runs in its prefix,
/// serves its Admin API.
pub(super) fn admin_of(place: &Place, console: &Console) -> anyhow::Result<String> {
    let settings = settings_of_node(&place.sources(), console)?;
    let options = console.options(&settings, Mode::Foreground)?;
    let admin = match &options.role {
        Role::Traditional { admin, .. } | Role::ControlPlane { admin, .. } => admin,
        Role::DataPlane { .. } => bail!(
            "a data plane has no Admin API: name that of its control plane with --admin, or ask a file with --file"
        ),
    };
    let listener = admin.listen.iter().find(|listen| !listen.tls).context(
        "admin_listen has no address without TLS: name one with --admin, or ask a file with --file",
    )?;
    ensure!(
        listener.addr.port() != 0,
        "admin_listen leaves the port to the system: name the Admin API with --admin"
    );
    Ok(format!("http://{}", reachable(listener.addr)))
}

/// What the Admin API is shown, from a file with nothing else in it.
pub(super) fn token(file: &Path) -> anyhow::Result<String> {
    let text = bounded::read(file, bounded::TOKENS);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// What the Admin API at this URL answers to whoever shows this token.
pub(super) fn at(url: &str, token: Option<&str>, question: &Question) -> anyhow::Result<Value> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    ensure!(
        url.starts_with("http://"),
        "{url}: this command speaks http only; name an address of the Admin API without TLS"
    );
    let url = format!("{}/debug/route", url.trim_end_matches('/'));
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = async { tokio::time::timeout(PATIENCE, post(&url, token, question)).await? };
    let (status, answer) =
        runtime.block_on(asking).with_context(|| format!("failed to send request to {url}"))?;
    match status {
        StatusCode::OK => Ok(answer),
        StatusCode::UNAUTHORIZED => {
            bail!(
                "{url} asks for a token, or for another one: name a file that holds it with --token-file"
            )
        }
        StatusCode::NOT_FOUND => {
            bail!("{url} is not there: is this the Admin API of a gateway that knows `explain`?")
        }
        _ => bail!("{url} answered {}: {}", status.as_u16(), told(&answer)),
    }
}

async fn post(
    url: &str,
    token: Option<&str>,
    question: &Question,
) -> anyhow::Result<(StatusCode, Value)> {
    let body = Full::new(Bytes::from(serde_json::to_vec(question)?));
    let mut request = Request::post(url).header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(body)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// What is wrong, and with which entities.
fn told(answer: &Value) -> String {
    let message = answer["message"].as_str().unwrap_or("nothing more").to_owned();
    let problems = answer["problems"].as_array().into_iter().flatten();
    problems
        .filter_map(|problem| problem["message"].as_str())
        .fold(message, |all, problem| all + "\n  " + problem)
}
